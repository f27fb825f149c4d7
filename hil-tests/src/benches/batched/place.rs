//! Where everything is computed.

use std::sync::Arc;

use candle_core::Device;
use scenario::tensor_executor::{OnProcessors, TensorExecutor};

/// The processors, or a GPU. Any number of runs may share it, and the programs that are compiled for it.
#[derive(Clone)]
pub struct Place {
    pub(super) device: Device,
    /// What computes rules there.
    pub(super) executor: Arc<dyn TensorExecutor>,
}

impl Place {
    /// The place that `device` is.
    ///
    /// # Errors
    /// If it is a GPU for which no programs can be compiled.
    #[cfg(feature = "cuda-training")]
    pub fn new(device: Device) -> anyhow::Result<Self> {
        let executor: Arc<dyn TensorExecutor> = match &device {
            Device::Cuda(device) => {
                let gpu = aggregator_node::cuda::Cuda::of(device.cuda_stream())?;
                Arc::new(super::resident::OnGpu(gpu.resident()))
            }
            _ => Arc::new(OnProcessors),
        };
        Ok(Place { device, executor })
    }

    /// The place that `device` is.
    ///
    /// # Errors
    /// If it is a GPU, for which this program was not built.
    #[cfg(not(feature = "cuda-training"))]
    pub fn new(device: Device) -> anyhow::Result<Self> {
        anyhow::ensure!(matches!(device, Device::Cpu), "this program was built without cuda-training");
        Ok(Place { device, executor: Arc::new(OnProcessors) })
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.device.location())
    }
}
