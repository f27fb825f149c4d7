//! What can be wrong with a run directory.

use std::io;
use std::path::{Path, PathBuf};

use shared::advice::Advised;
use shared::parameters::ParametersError;

/// Why a run directory could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The operating system refused.
    #[error("cannot {action} {}: {}", path.display(), Advised(cause))]
    Io {
        /// What was tried: `write`, `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// There is no run here.
    #[error("{} is not a run directory: it has no manifest.json; name the directory of an earlier run", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is in use for something else.
    #[error("{} already holds {holds}; choose another directory, or empty this one if it is no longer needed", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        holds: String,
    },
    /// Another process writes this directory.
    #[error("{} is being written by another process; wait for it to end, or choose another directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A file's content is not what this program wrote.
    #[error("{} is damaged: {what}; restore it from a copy, or start the run again in an empty directory", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A run directory of another version of this program.
    #[error("{} has format {found}, this program reads format {expected}; use the version that wrote it", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// The format it states.
        found: u32,
        /// The format this program reads.
        expected: u32,
    },
    /// Parameters that no checkpoint can hold.
    #[error("the model cannot be written to {}: {cause}; give every tensor of the model a name of its own", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What safetensors said.
        cause: ParametersError,
    },
    /// A plot of the report could not be drawn.
    #[error("the report's plot `{plot}` cannot be drawn: {reason}; metrics.csv holds the same numbers")]
    Plot {
        /// Title of the plot.
        plot: String,
        /// What the drawing library said.
        reason: String,
    },
}

impl RecordError {
    /// For `map_err`: names the file and what was tried with it.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| RecordError::Io { action, path, cause }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        RecordError::Damaged { path: path.to_owned(), what: what.into() }
    }
}
