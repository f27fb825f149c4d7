//! Where everything is computed.

use candle_core::Device;

/// The processors, or a GPU. Any number of runs may share it, and the programs that are compiled for it.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) device: Device,
    /// What computes rules on the GPU, if the place is one.
    #[cfg(feature = "cuda-training")]
    pub(super) gpu: Option<aggregator_node::cuda::Cuda>,
}

impl Place {
    /// The place that `device` is.
    ///
    /// # Errors
    /// If it is a GPU for which no programs can be compiled.
    #[cfg(feature = "cuda-training")]
    pub fn new(device: Device) -> anyhow::Result<Self> {
        let gpu = match &device {
            Device::Cuda(device) => Some(aggregator_node::cuda::Cuda::of(device.cuda_stream())?),
            _ => None,
        };
        Ok(Place { device, gpu })
    }

    /// The place that `device` is.
    ///
    /// # Errors
    /// If it is a GPU, for which this program was not built.
    #[cfg(not(feature = "cuda-training"))]
    pub fn new(device: Device) -> anyhow::Result<Self> {
        anyhow::ensure!(matches!(device, Device::Cpu), "this program was built without cuda-training");
        Ok(Place { device })
    }
}
