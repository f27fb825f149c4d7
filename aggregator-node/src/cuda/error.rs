//! What can go wrong on a GPU.

use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;
use cudarc::nvrtc::CompileError;
use robust::RuleError;

/// What went wrong on a GPU.
#[derive(Debug, thiserror::Error)]
pub(super) enum CudaError {
    /// The driver refused, or the GPU failed.
    #[error("{}", of_driver(*.0))]
    Driver(#[from] DriverError),
    /// A program did not compile: NVRTC is broken, or too old for the GPU.
    #[error("NVRTC refuses a program: {}", of_compiler(.0))]
    Compile(Box<CompileError>),
    /// Columns of so many values do not fit the shared memory of the GPU.
    #[error("columns of {0} values do not fit the shared memory of a block of threads")]
    TooManyRows(usize),
}

impl CudaError {
    /// Whether it might work with less memory.
    pub(super) fn is_out_of_memory(&self) -> bool {
        matches!(self, CudaError::Driver(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)))
    }
}

fn of_driver(error: DriverError) -> String {
    let name = error.error_name().map(|name| name.to_string_lossy());
    let text = error.error_string().map(|text| text.to_string_lossy());
    let advice = if error.0 == CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION {
        ": NVRTC is newer than the driver: update the driver, or take an older NVRTC"
    } else {
        ""
    };
    format!("{} ({}){advice}", name.unwrap_or_default(), text.unwrap_or_default())
}

/// The first line that says so.
fn of_compiler(error: &CompileError) -> String {
    let log = match error {
        CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
        other => other.to_string(),
    };
    let first = log.lines().find(|line| line.contains("error")).or(log.lines().next());
    first.unwrap_or("it does not say why").to_owned()
}

impl From<CompileError> for CudaError {
    fn from(error: CompileError) -> Self {
        CudaError::Compile(Box::new(error))
    }
}

impl From<CudaError> for RuleError {
    fn from(error: CudaError) -> Self {
        RuleError::Backend(format!("the GPU cannot aggregate: {error}; --device cpu does without it"))
    }
}
