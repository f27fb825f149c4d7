//! Where the tests of this module compute.

use std::sync::OnceLock;

use candle_core::Device;

use super::Place;

/// The first GPU, in a build with `cuda-training`, and the processors in others.
pub(super) fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let device = if cfg!(feature = "cuda-training") {
            Device::new_cuda_with_stream(0).expect("a build with cuda-training is tested on a GPU")
        } else {
            Device::Cpu
        };
        Place::new(device).unwrap()
    })
}

/// Its device.
pub(super) fn device() -> &'static Device {
    &place().device
}
