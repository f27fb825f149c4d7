//! Aggregation rules on an NVIDIA GPU.
//!
//! The rules give the bits of `robust`: kernels sort the same columns, take sums in the same order and round product and sum
//! separately; Krum and Bulyan select by the same code, on the processors, from equal distances. `docs/cuda.md` says what has
//! been checked of that, and how.
//!
//! # Layout
//! - `kernels/`: what runs on the GPU, in CUDA C++; compiled when it is first used, for the number of rows.
//! - [`Program`]: the text of such a program.
//! - `gpu`: a GPU, and the programs compiled for it.
//! - `launch`: launches kernels; all the code that is `unsafe`.
//! - `matrix`: the update matrix, on the GPU as a whole or a block of columns at a time.
//! - `columns`, `distances`: what can be computed of it; `plan`: what a plan asks for.
//! - `engine`: the rules of a run, on updates that come from devices.
//! - [`ResidentEngine`]: the rules of a simulation, whose updates and aggregates stay on the GPU.
//! - [`Measurement`]: how long kernels take by themselves.

mod columns;
mod distances;
mod engine;
mod error;
mod gpu;
mod launch;
mod matrix;
mod measure;
mod on_gpu;
mod plan;
mod program;
mod resident;

use std::sync::Arc;

use cudarc::driver::CudaStream;
use engine::CudaEngine;
use error::CudaError;
use gpu::Gpu;
use robust::{Distances, RuleError, Updates};

use crate::backend::{Backend, DeviceError, Engine};
pub use launch::has_compiler;
use matrix::{Matrix, Resident};
pub use measure::Measurement;
pub use program::{Program, Shape, Statistic};
pub use resident::{LeaveOneOutAggregates, ResidentEngine, ResidentUpdates};

/// Bytes of shared memory that a block of threads may have on GPUs of the last years.
const SHARED_IN_GENERAL: usize = 99 << 10;

/// A GPU that computes rules.
#[derive(Clone, Debug)]
pub struct Cuda {
    gpu: Arc<Gpu>,
}

impl Cuda {
    /// Opens the GPU of number `ordinal`, from 0 on.
    ///
    /// # Errors
    /// [`DeviceError`] if there is no driver, no compiler or no such GPU, or it does not work.
    pub fn open(ordinal: u32) -> Result<Self, DeviceError> {
        Ok(Cuda { gpu: Arc::new(Gpu::open(ordinal)?) })
    }

    /// The GPU of `stream`, for a caller whose memory is there: all work goes through that stream.
    ///
    /// # Errors
    /// [`DeviceError`] if there is no compiler, or the GPU does not work.
    pub fn of(stream: Arc<CudaStream>) -> Result<Self, DeviceError> {
        Ok(Cuda { gpu: Arc::new(Gpu::of(stream)?) })
    }

    /// The distances between all pairs of `updates`: the very bits of [`Distances::of`].
    ///
    /// # Errors
    /// [`RuleError::Backend`] if the GPU fails.
    pub fn distances(&self, updates: &Updates<'_>) -> Result<Distances, RuleError> {
        self.gpu.enter()?;
        Ok(distances::distances(&Matrix::new(&self.gpu, &Resident::default(), updates))?)
    }

    /// What computes rules on this GPU of updates that it holds.
    pub fn resident(&self) -> ResidentEngine {
        ResidentEngine(self.gpu.clone())
    }

    /// The stream that all work goes through.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.gpu.stream
    }
}

impl Backend for Cuda {
    fn name(&self) -> String {
        self.gpu.name.clone()
    }

    fn engine(&self) -> Box<dyn Engine> {
        Box::new(CudaEngine::new(self.gpu.clone()))
    }
}

/// The PTX of a program for an architecture such as `compute_80`. A GPU need not be there.
///
/// # Errors
/// [`RuleError::Backend`] if NVRTC is not installed, or with what it says.
pub fn compile(program: Program, architecture: &str) -> Result<String, RuleError> {
    if !has_compiler() {
        return Err(RuleError::Backend("NVRTC (libnvrtc.so) is not installed".to_owned()));
    }
    let shape = program.shape(SHARED_IN_GENERAL).ok_or(CudaError::TooManyRows(program.rows))?;
    Ok(gpu::ptx(program, shape, architecture)?.to_src())
}
