//! Where the tests of this module compute.

use std::sync::OnceLock;

use candle_core::Device;

/// The first GPU, in a build with `cuda-training`, and the processors in others.
pub(super) fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| {
        if cfg!(feature = "cuda-training") {
            Device::new_cuda_with_stream(0).expect("a build with cuda-training is tested on a GPU")
        } else {
            Device::Cpu
        }
    })
}
