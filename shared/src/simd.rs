//! Vector instructions chosen at run time.

/// Runs `kernel` compiled for the widest vector instructions that this machine has: AVX-512 or AVX2 on `x86_64`,
/// NEON on ARM.
///
/// The compiler vectorises it; nothing that it computes changes, for Rust neither reorders nor fuses floating-point
/// operations. So a kernel that is to be fast keeps independent values side by side, and gives the same bits on every
/// machine.
#[inline]
pub(crate) fn vectorized<Output>(kernel: impl FnOnce() -> Output) -> Output {
    pulp::Arch::new().dispatch(kernel)
}
