//! Kernels compiled for several sets of vector instructions, of which the machine's is chosen at run time.

use std::hint::black_box;
use std::ops::{Deref, DerefMut, Range};

use pulp::{Arch, Simd, WithSimd};

/// Values of one [`Lanes`].
pub const LANES: usize = 16;

/// Values that lie side by side in vector registers: one of AVX-512, two of AVX2, four of NEON. In memory they fill a
/// cache line, so that no vector is read from two.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub struct Lanes(pub [f32; LANES]);

impl Lanes {
    /// Zeros.
    pub const ZERO: Self = Lanes([0.0; LANES]);
}

impl Deref for Lanes {
    type Target = [f32; LANES];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Lanes {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// The vectors of this machine that lanes are made of.
#[inline(always)]
pub fn vectors<V: Simd>(lanes: &Lanes) -> &[V::f32s] {
    V::as_simd_f32s(&lanes.0).0
}

/// [`vectors`], to be written to.
#[inline(always)]
pub fn vectors_mut<V: Simd>(lanes: &mut Lanes) -> &mut [V::f32s] {
    V::as_mut_simd_f32s(&mut lanes.0).0
}

/// The places of [`vectors`].
#[inline(always)]
pub fn parts<V: Simd>() -> Range<usize> {
    0..LANES / V::F32_LANES
}

/// A computation that is worth compiling for several sets of vector instructions.
pub trait Kernel {
    /// What it computes.
    type Output;

    /// Computes it. Only what is inlined into this function is compiled for this machine: mark it, and all that
    /// it calls, `#[inline(always)]`, and have no large closures.
    fn run(self) -> Self::Output;
}

/// Runs `kernel` compiled for the widest vector instructions that this machine has: AVX-512 or AVX2 on `x86_64`,
/// NEON on ARM.
///
/// The compiler vectorises it; nothing that it computes changes, for Rust neither reorders nor fuses floating-point
/// operations. So a kernel that is to be fast keeps independent values side by side, and gives the same bits on every
/// machine.
#[inline]
pub fn vectorized<K: Kernel>(kernel: K) -> K::Output {
    struct Compiled<K>(K);

    impl<K: Kernel> WithSimd for Compiled<K> {
        type Output = K::Output;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> K::Output {
            self.0.run()
        }
    }

    Arch::new().dispatch(Compiled(kernel))
}

/// Values of 32 bits in the widest vector of this machine: 16 with AVX-512, 8 with AVX2, 4 with NEON, 1 without any.
pub fn vector_lanes() -> usize {
    struct Count;

    impl WithSimd for Count {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }

    Arch::new().dispatch(Count)
}

/// Draws the cache line of `value` into the first-level cache while other work goes on; where this machine cannot be asked
/// to, nothing.
#[inline(always)]
pub fn prefetch(value: &f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
        // SAFETY: every x86-64 processor has the instruction, and the pointer is that of a reference.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        #[expect(unsafe_code, reason = "there is no stable intrinsic")]
        // SAFETY: the instruction changes neither memory nor registers, and the pointer is that of a reference.
        unsafe {
            std::arch::asm!(
                "prfm pldl1keep, [{value}]",
                value = in(reg) std::ptr::from_ref(value),
                options(nostack, preserves_flags, readonly),
            );
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = value;
}

/// What is left of a slice after its last whole vector, filled up with zeros; `values` are at most N.
#[inline(always)]
pub fn padded<T: Copy + Default, const N: usize>(values: &[T]) -> [T; N] {
    let mut vector = [T::default(); N];
    vector[..values.len()].copy_from_slice(values);
    vector
}

/// Hides from the compiler that a vector is one of several, for else it gathers the first lanes of all of them, then the
/// second ones, ...
#[inline(always)]
pub fn one_at_a_time<T: Copy>(vector: &T) -> T {
    *black_box(vector)
}
