//! A GPU, and the programs compiled for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{CUdevice_attribute, CUfunction_attribute};
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, DriverError};
use cudarc::nvrtc::{CompileOptions, Ptx, compile_ptx_with_opts};

use super::error::CudaError;
use super::launch;
use super::program::{Program, Shape};
use crate::backend::DeviceError;

/// A GPU. All work on it goes through one stream, in order.
#[derive(Debug)]
pub(super) struct Gpu {
    pub(super) stream: Arc<CudaStream>,
    /// As in `cuda:0 (NVIDIA H100)`.
    pub(super) name: String,
    /// As in `compute_90`.
    architecture: String,
    /// Bytes of shared memory that a block of threads may have.
    shared: usize,
    programs: Mutex<HashMap<Program, Arc<CudaModule>>>,
}

/// A kernel, ready to be launched.
pub(super) struct Kernel {
    pub(super) function: CudaFunction,
    pub(super) shape: Shape,
}

impl Gpu {
    /// Opens the GPU of number `ordinal`.
    pub(super) fn open(ordinal: u32) -> Result<Self, DeviceError> {
        let no = |reason: &str, advice: &str| DeviceError::new(ordinal, reason, advice);
        if !launch::has_driver() {
            return Err(no("no CUDA driver (libcuda.so) is installed", "install NVIDIA's driver"));
        }
        check_compiler(ordinal)?;
        let failed = |what: &'static str| {
            move |error| {
                let reason = format!("{what}: {}", CudaError::Driver(error));
                DeviceError::new(ordinal, reason, "see what nvidia-smi says")
            }
        };
        let count = launch::count().map_err(failed("the CUDA driver does not start"))?;
        if i64::from(ordinal) >= i64::from(count) {
            let (reason, advice) = match count {
                0 => ("the CUDA driver finds no GPU".to_owned(), "see what nvidia-smi says".to_owned()),
                1 => ("this machine has one GPU, number 0".to_owned(), "use cuda:0".to_owned()),
                _ => (
                    format!("this machine has {count} GPUs, 0 to {}", count - 1),
                    "use one of them".to_owned(),
                ),
            };
            return Err(no(&reason, &advice));
        }
        let context = CudaContext::new(ordinal as usize).map_err(failed("the GPU does not open"))?;
        Self::of(context.default_stream())
    }

    /// The GPU of `stream`.
    pub(super) fn of(stream: Arc<CudaStream>) -> Result<Self, DeviceError> {
        let ordinal = u32::try_from(stream.context().ordinal()).unwrap_or(u32::MAX);
        check_compiler(ordinal)?;
        Self::asked(stream, ordinal).map_err(|error| {
            let reason = format!("the GPU does not say what it is: {}", CudaError::Driver(error));
            DeviceError::new(ordinal, reason, "see what nvidia-smi says")
        })
    }

    fn asked(stream: Arc<CudaStream>, ordinal: u32) -> Result<Self, DriverError> {
        let context = stream.context();
        let (major, minor) = context.compute_capability()?;
        // A GPU runs what was compiled for an older one, and NVRTC may be older than the GPU.
        let own = 10 * major + minor;
        let architecture =
            launch::architectures().into_iter().filter(|known| *known <= own).max().unwrap_or(own);
        let most = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        Ok(Gpu {
            name: format!("cuda:{ordinal} ({})", context.name()?),
            architecture: format!("compute_{architecture}"),
            shared: usize::try_from(context.attribute(most)?).unwrap_or_default(),
            stream,
            programs: Mutex::default(),
        })
    }

    /// Makes sure that this thread may use the GPU, and let go of memory there: the driver asks for that once in each.
    pub(super) fn enter(&self) -> Result<(), CudaError> {
        Ok(self.stream.context().bind_to_thread()?)
    }

    /// The kernel `name` of a program, which is compiled when it is first asked for: that takes seconds for many rows.
    pub(super) fn kernel(&self, program: Program, name: &str) -> Result<Kernel, CudaError> {
        let shape = program.shape(self.shared).ok_or(CudaError::TooManyRows(program.rows))?;
        let module = self.module(program, shape)?;
        let function = module.load_function(name)?;
        if shape.shared_bytes > 0 {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(attribute, shape.shared_bytes.cast_signed())?;
        }
        Ok(Kernel { function, shape })
    }

    fn module(&self, program: Program, shape: Shape) -> Result<Arc<CudaModule>, CudaError> {
        // Held while it is compiled, so that two runs that start together do not do so twice.
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = programs.get(&program) {
            return Ok(module.clone());
        }
        let module = self.stream.context().load_module(ptx(program, shape, &self.architecture)?)?;
        programs.insert(program, module.clone());
        Ok(module)
    }

    /// Bytes of memory that are free.
    pub(super) fn free_memory(&self) -> Result<usize, CudaError> {
        Ok(self.stream.context().mem_get_info()?.0)
    }
}

fn check_compiler(ordinal: u32) -> Result<(), DeviceError> {
    if launch::has_compiler() {
        return Ok(());
    }
    let advice = "install the CUDA toolkit, and name the folder of libnvrtc.so in LD_LIBRARY_PATH";
    Err(DeviceError::new(ordinal, "NVRTC (libnvrtc.so) is not installed", advice))
}

/// Compiles a program for an architecture such as `compute_90`. Products and sums are rounded one by one, as on the CPU.
pub(super) fn ptx(program: Program, shape: Shape, architecture: &str) -> Result<Ptx, CudaError> {
    let options = CompileOptions {
        fmad: Some(false),
        ftz: Some(false),
        prec_div: Some(true),
        options: vec![format!("--gpu-architecture={architecture}")],
        ..CompileOptions::default()
    };
    Ok(compile_ptx_with_opts(program.source(shape), options)?)
}
