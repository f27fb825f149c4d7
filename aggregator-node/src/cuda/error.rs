//! What can go wrong on a GPU.

use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;
use cudarc::nvrtc::CompileError;
use robust::RuleError;

/// What went wrong on a GPU.
#[derive(Debug)]
pub(super) enum CudaError {
    /// The driver refused, or the GPU failed.
    Driver(DriverError),
    /// A program did not compile: NVRTC is broken, or too old for the GPU.
    Compile(Box<CompileError>),
    /// Columns of so many values do not fit the shared memory of the GPU.
    TooManyRows(usize),
}

impl CudaError {
    /// Whether it might work with less memory.
    pub(super) fn is_out_of_memory(&self) -> bool {
        matches!(self, CudaError::Driver(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)))
    }
}

impl std::fmt::Display for CudaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CudaError::Driver(error) => {
                let name = error.error_name().map(|name| name.to_string_lossy());
                let text = error.error_string().map(|text| text.to_string_lossy());
                let (name, text) = (name.unwrap_or_default(), text.unwrap_or_default());
                write!(f, "{name} ({text})")?;
                if error.0 == CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION {
                    write!(f, ": NVRTC is newer than the driver: update the driver, or take an older NVRTC")?;
                }
                Ok(())
            }
            CudaError::Compile(error) => {
                let log = match error.as_ref() {
                    CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
                    other => other.to_string(),
                };
                let first = log.lines().find(|line| line.contains("error")).or(log.lines().next());
                write!(f, "NVRTC refuses a program: {}", first.unwrap_or("it does not say why"))
            }
            CudaError::TooManyRows(rows) => {
                write!(f, "columns of {rows} values do not fit the shared memory of a block of threads")
            }
        }
    }
}

impl From<DriverError> for CudaError {
    fn from(error: DriverError) -> Self {
        CudaError::Driver(error)
    }
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
