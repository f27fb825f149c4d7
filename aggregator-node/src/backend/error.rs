//! Why a device cannot be used.

use super::DeviceChoice;

/// A GPU that was asked for and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--device {device}: {reason}: {advice}, or use --device cpu")]
pub struct DeviceError {
    /// What was asked for.
    pub device: DeviceChoice,
    /// What is wrong.
    pub reason: String,
    /// What would help.
    pub advice: String,
}

impl DeviceError {
    /// That the GPU of number `ordinal` cannot be used.
    pub(crate) fn new(ordinal: u32, reason: impl Into<String>, advice: impl Into<String>) -> Self {
        DeviceError { device: DeviceChoice::Cuda(ordinal), reason: reason.into(), advice: advice.into() }
    }

    /// This program knows nothing of GPUs.
    #[cfg(not(feature = "cuda"))]
    pub(crate) fn not_built(ordinal: u32) -> Self {
        let advice = "build it with --features cuda (docs/cuda.md)";
        DeviceError::new(ordinal, "this program was built without CUDA", advice)
    }
}
