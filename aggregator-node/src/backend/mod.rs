//! What aggregation rules are computed on: this machine's processors, or a GPU.
//!
//! | [`DeviceChoice`] | rules run on |
//! |---|---|
//! | `cpu` | the processors, as `robust` has them |
//! | `cuda:N` | the N-th GPU of the machine, from 0 on (with the feature `cuda`) |
//! | `auto` | the first GPU if there is one that can be used, else the processors |
//!
//! A rule gives the same result on each; `docs/cuda.md` says why.

mod choice;
mod cpu;
mod error;

use std::sync::Arc;

use robust::Executor;

pub use choice::{DeviceChoice, UnknownDevice};
pub use cpu::Cpu;
pub use error::DeviceError;

/// What rules are computed on. Any number of runs may share it.
pub trait Backend: std::fmt::Debug + Send + Sync {
    /// What people call it.
    fn name(&self) -> String;

    /// What computes the rules of one run.
    fn engine(&self) -> Box<dyn Engine>;
}

/// What computes the rules of one run, and the updates that were handed over before their aggregate is asked for.
///
/// It takes whatever updates it is given: those that were handed over earlier are only available sooner.
pub trait Engine: Executor {
    /// Whether updates are moved at all: without that, nobody need hand them over.
    fn takes_updates(&self) -> bool {
        false
    }

    /// Moves an update of `round` to where it will be aggregated, if there is room. Those of earlier rounds are let go,
    /// and updates of rounds that were let go are left alone.
    fn take(&self, _round: u32, _update: &Arc<[f32]>) {}

    /// Lets go of the updates of `round` and of earlier ones.
    fn release(&self, _round: u32) {}
}

/// A backend, and why it is this one.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What rules are computed on.
    pub backend: Arc<dyn Backend>,
    /// Number of the GPU that it is, if it is one.
    pub gpu: Option<u32>,
    /// Why, where nobody asked for it by name.
    pub because: Option<String>,
}

impl Default for Chosen {
    fn default() -> Self {
        Chosen { backend: Arc::new(Cpu), gpu: None, because: None }
    }
}

impl std::fmt::Display for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "aggregating on {}", self.backend.name())?;
        self.because.iter().try_for_each(|why| write!(f, ": {why}"))
    }
}

/// Opens the device that was asked for.
///
/// # Errors
/// [`DeviceError`] if a GPU was asked for by name and cannot be used; never for `cpu` and `auto`.
pub fn open(choice: DeviceChoice) -> Result<Chosen, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(Chosen::default()),
        DeviceChoice::Cuda(ordinal) => {
            Ok(Chosen { backend: gpu(ordinal)?, gpu: Some(ordinal), because: None })
        }
        DeviceChoice::Auto => Ok(match gpu(0) {
            Ok(backend) => Chosen { backend, gpu: Some(0), because: Some("the first GPU here".to_owned()) },
            Err(error) => Chosen {
                because: Some(format!("no GPU can be used, as {}", error.reason)),
                ..Chosen::default()
            },
        }),
    }
}

#[cfg(feature = "cuda")]
fn gpu(ordinal: u32) -> Result<Arc<dyn Backend>, DeviceError> {
    Ok(Arc::new(crate::cuda::Cuda::open(ordinal)?))
}

#[cfg(not(feature = "cuda"))]
fn gpu(ordinal: u32) -> Result<Arc<dyn Backend>, DeviceError> {
    Err(DeviceError::not_built(ordinal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_are_always_there() {
        assert_eq!(open(DeviceChoice::Cpu).unwrap().to_string(), "aggregating on cpu");
    }

    #[test]
    fn auto_says_what_it_chose_and_why() {
        let chosen = open(DeviceChoice::Auto).unwrap();
        let because = chosen.because.clone().unwrap();
        assert_eq!(chosen.to_string(), format!("aggregating on {}: {because}", chosen.backend.name()));
        assert!(because.contains("GPU"), "{because}");
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_of_one_line_that_says_what_to_do() {
        let message = open(DeviceChoice::Cuda(4_000)).unwrap_err().to_string();
        assert!(message.starts_with("--device cuda:4000: ") && !message.contains('\n'), "{message}");
        assert!(message.contains("or use --device cpu"), "{message}");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_the_feature_the_error_names_it() {
        let message = open(DeviceChoice::Cuda(0)).unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
    }
}
