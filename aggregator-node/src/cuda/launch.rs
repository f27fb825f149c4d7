//! All that the compiler cannot check: memory that nobody has written yet, and what kernels are launched with.
#![allow(unsafe_code, reason = "a kernel takes what it is given; each call says why that is right")]

use std::ops::Range;

use cudarc::cublas::result::CublasError;
use cudarc::cublas::sys::cublasOperation_t;
use cudarc::cublas::{CudaBlas, Gemm, GemmConfig};
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{
    CudaSlice, CudaViewMut, DevicePtr, DeviceRepr, DriverError, LaunchArgs, LaunchConfig, PushKernelArg,
    ValidAsZeroBits,
};

use super::gpu::{Gpu, Kernel};
use super::program::IN_REGISTERS;

/// Threads of a block of `multiply`, `add_panels` and `add_squares`: their `THREADS` and `SPANS * LANES`.
const PAIR_THREADS: u32 = 256;

/// Rows of a tile of `multiply`: its `TILE`.
const TILE: usize = 32;

/// Columns of a panel of `multiply`: its `PANEL`.
pub(super) const PANEL: usize = 1024;

/// Sums for each pair in `add_squares`: its `LANES`.
pub(super) const LANES: usize = 16;

/// Which of CUDA's libraries are there.
#[cfg(not(feature = "cuda-linked"))]
mod libraries {
    /// Whether the driver is.
    pub(in super::super) fn has_driver() -> bool {
        // SAFETY: the library runs nothing when it is loaded but its own set-up.
        unsafe { cudarc::driver::sys::is_culib_present() }
    }

    /// Whether NVRTC, which compiles kernels, is installed.
    pub fn has_compiler() -> bool {
        // SAFETY: as above.
        unsafe { cudarc::nvrtc::sys::is_culib_present() }
    }

    /// Whether cuBLAS, which the benchmark compares with, is installed.
    pub(in super::super) fn has_cublas() -> bool {
        // SAFETY: as above.
        unsafe { cudarc::cublas::sys::is_culib_present() }
    }
}

/// A program that is linked to them does not start without them.
#[cfg(feature = "cuda-linked")]
mod libraries {
    pub(in super::super) fn has_driver() -> bool {
        true
    }

    /// Whether NVRTC, which compiles kernels, is installed.
    pub fn has_compiler() -> bool {
        true
    }

    pub(in super::super) fn has_cublas() -> bool {
        true
    }
}

pub use libraries::has_compiler;
pub(super) use libraries::{has_cublas, has_driver};

/// The GPUs that NVRTC compiles for, as in 90 for compute capability 9.0.
pub(super) fn architectures() -> Vec<i32> {
    let mut count = 0;
    // SAFETY: it writes one number.
    let counted = unsafe { cudarc::nvrtc::sys::nvrtcGetNumSupportedArchs(&raw mut count) };
    let mut architectures = vec![0; usize::try_from(count).unwrap_or_default()];
    // SAFETY: it writes as many numbers as it counted.
    let listed = unsafe { cudarc::nvrtc::sys::nvrtcGetSupportedArchs(architectures.as_mut_ptr()) };
    let is_known = counted.result().and(listed.result()).is_ok();
    if is_known { architectures } else { Vec::new() }
}

/// The square of a matrix of `size` rows, in `product`, by cuBLAS in full `f32`.
pub(super) fn square(
    blas: &CudaBlas,
    size: usize,
    factor: &CudaSlice<f32>,
    product: &mut CudaSlice<f32>,
) -> Result<(), CublasError> {
    assert!(factor.len() == size * size && product.len() == size * size);
    let n = i32::try_from(size).unwrap_or(i32::MAX);
    let config = GemmConfig {
        transa: cublasOperation_t::CUBLAS_OP_N,
        transb: cublasOperation_t::CUBLAS_OP_N,
        m: n,
        n,
        k: n,
        alpha: 1.0,
        lda: n,
        ldb: n,
        beta: 0.0,
        ldc: n,
    };
    // SAFETY: all three matrices are of that size, as was made sure.
    unsafe { blas.gemm(config, factor, factor, product) }
}

/// Number of GPUs.
pub(super) fn count() -> Result<i32, DriverError> {
    match cudarc::driver::CudaContext::device_count() {
        Err(DriverError(cudarc::driver::sys::CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        count => count,
    }
}

/// Where the rows of a matrix start, as kernels take it: `Rows` in `kernels/rows.cuh`.
pub(super) enum RowPointers {
    /// By value. The kernel copies as many as it has rows.
    Parameter(Box<Parameter>),
    /// In memory.
    Table(CudaSlice<u64>),
}

/// Pointers to rows, at least as many as the kernel takes.
#[derive(Clone, Copy)]
pub(super) struct Parameter(
    #[expect(dead_code, reason = "it is the kernel that reads it")] [CUdeviceptr; IN_REGISTERS],
);

// SAFETY: plain numbers.
unsafe impl DeviceRepr for Parameter {}

impl RowPointers {
    pub(super) fn new(gpu: &Gpu, pointers: &[CUdeviceptr]) -> Result<Self, DriverError> {
        if pointers.len() > IN_REGISTERS {
            return Ok(RowPointers::Table(gpu.stream.clone_htod(pointers)?));
        }
        let mut parameter = [0; IN_REGISTERS];
        parameter[..pointers.len()].copy_from_slice(pointers);
        Ok(RowPointers::Parameter(Box::new(Parameter(parameter))))
    }
}

/// Columns of a matrix that are on the GPU.
pub(super) struct Block {
    pub(super) rows: RowPointers,
    /// Number of rows.
    pub(super) devices: usize,
    /// Number of columns that are there of each.
    pub(super) columns: usize,
}

impl Block {
    fn push<'a>(&'a self, launch: &mut LaunchArgs<'a>) {
        match &self.rows {
            RowPointers::Parameter(pointers) => launch.arg(pointers.as_ref()),
            RowPointers::Table(table) => launch.arg(table),
        };
    }
}

/// What the mean takes beside the rows.
pub(super) struct Weights {
    /// One for each row.
    pub(super) each: CudaSlice<f64>,
    /// Their sum, or one over the sum without each.
    pub(super) shares: CudaSlice<f64>,
    /// As large as the results, where there is one for each row.
    pub(super) before: Option<CudaSlice<f64>>,
}

/// Memory for `length` values, to be written before it is read.
pub(super) fn allocate<T: DeviceRepr>(gpu: &Gpu, length: usize) -> Result<CudaSlice<T>, DriverError> {
    // SAFETY: any bytes are values of these types of plain numbers, and those who ask for it write it first.
    unsafe { gpu.stream.alloc(length.max(1)) }
}

/// Memory for `length` zeros.
pub(super) fn zeros<T: DeviceRepr + ValidAsZeroBits>(
    gpu: &Gpu,
    length: usize,
) -> Result<CudaSlice<T>, DriverError> {
    gpu.stream.alloc_zeros(length.max(1))
}

/// The address of memory on the GPU. It is good as long as `memory` lives, and whatever uses it goes through the GPU's
/// only stream.
pub(super) fn address<T>(gpu: &Gpu, memory: &impl DevicePtr<T>) -> CUdeviceptr {
    memory.device_ptr(&gpu.stream).0
}

/// `aggregate` of a coordinate-wise statistic on a block: results are `stride` values apart.
///
/// The block must have the rows of the kernel's program, `results` room for what it computes; `weights` are for the mean
/// alone, which needs them.
pub(super) fn aggregate(
    gpu: &Gpu,
    kernel: &Kernel,
    block: &Block,
    results: &mut CudaViewMut<'_, f32>,
    stride: usize,
    weights: &mut Option<Weights>,
) -> Result<(), DriverError> {
    let (columns, stride) = (block.columns as u64, stride as u64);
    let shape = kernel.shape;
    let mut launch = gpu.stream.launch_builder(&kernel.function);
    block.push(&mut launch);
    launch.arg(&columns).arg(results).arg(&stride);
    if let Some(Weights { each, shares, before }) = weights {
        launch.arg(&*each).arg(&*shares);
        if let Some(before) = before {
            launch.arg(before);
        }
    }
    let config = LaunchConfig {
        grid_dim: (blocks(columns.div_ceil(u64::from(shape.columns))), 1, 1),
        block_dim: (shape.threads.0, shape.threads.1, 1),
        shared_mem_bytes: shape.shared_bytes,
    };
    // SAFETY: the arguments are those of the kernel, in its order; each thread keeps to columns that there are, in rows
    // and results that have room for them, as the caller sees to.
    unsafe { launch.launch(config) }.map(drop)
}

/// `multiply`: the products of all pairs of rows of a block, taken from row `origin`, in each of `panels`, which start at
/// column `panels.start * PANEL`, into `products`, which has room for them.
pub(super) fn multiply(
    gpu: &Gpu,
    kernel: &Kernel,
    block: &Block,
    panels: Range<usize>,
    origin: usize,
    products: &mut CudaSlice<f64>,
) -> Result<(), DriverError> {
    let tiles = block.devices.div_ceil(TILE);
    let (columns, first, origin) = (block.columns as u64, (panels.start * PANEL) as u64, origin as u32);
    let mut launch = gpu.stream.launch_builder(&kernel.function);
    block.push(&mut launch);
    launch.arg(&columns).arg(&first).arg(&origin).arg(products);
    let config = of_pairs((tiles * (tiles + 1) / 2) as u32, panels.len() as u32);
    // SAFETY: as in `aggregate`; columns beyond the last are not read.
    unsafe { launch.launch(config) }.map(drop)
}

/// `add_panels`: adds the products of `panels` panels to `sums`, both of `devices` squared values.
pub(super) fn add_panels(
    gpu: &Gpu,
    kernel: &Kernel,
    devices: usize,
    products: &CudaSlice<f64>,
    panels: usize,
    sums: &mut CudaSlice<f64>,
) -> Result<(), DriverError> {
    let panels = panels as u32;
    let mut launch = gpu.stream.launch_builder(&kernel.function);
    launch.arg(products).arg(&panels).arg(sums);
    let config = of_pairs(blocks((devices * devices).div_ceil(PAIR_THREADS as usize) as u64), 1);
    // SAFETY: as in `aggregate`.
    unsafe { launch.launch(config) }.map(drop)
}

/// `add_squares`: adds the squares of the differences of each of the `pairs`, two numbers of rows each, to their
/// [`LANES`] `sums`.
pub(super) fn add_squares(
    gpu: &Gpu,
    kernel: &Kernel,
    block: &Block,
    pairs: &CudaSlice<u32>,
    sums: &mut CudaSlice<f64>,
) -> Result<(), DriverError> {
    let (columns, count) = (block.columns as u64, pairs.len() / 2);
    let mut launch = gpu.stream.launch_builder(&kernel.function);
    block.push(&mut launch);
    launch.arg(&columns).arg(pairs).arg(sums);
    let config = of_pairs(blocks(count as u64), 1);
    // SAFETY: as in `aggregate`; the pairs are numbers of rows.
    unsafe { launch.launch(config) }.map(drop)
}

/// So many blocks of threads, in two directions, for a kernel of pairs.
fn of_pairs(across: u32, down: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (across, down, 1), block_dim: (PAIR_THREADS, 1, 1), shared_mem_bytes: 0 }
}

/// A number of blocks: CUDA takes 2^31 - 1, which cover more columns than memory has bytes.
fn blocks(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).min(i32::MAX as u32)
}
