//! Errors of a run directory.

use std::io;
use std::path::{Path, PathBuf};

use input::advice::Advised;
use learning::parameters::ParametersError;

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
    /// A file that must be there is not.
    #[error(
        "{} is missing, and the run needs it: nothing has been changed; restore it from a copy, or choose another directory",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Something that is no file has the name of one.
    #[error("{} is {what}, and not a file: nothing is read or written through it; remove it, or choose another directory", path.display())]
    NotAFile {
        /// What is in the way.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A run that was made with other data than is there now.
    #[error(
        "{} was made with other data: its {name} has the SHA-256 {recorded}, and {source_name} has {given}; give the data \
         that it was made with, or choose another directory",
        path.display()
    )]
    OtherData {
        /// The run's directory.
        path: PathBuf,
        /// Which data: `mnist test`.
        name: String,
        /// The digest that the run's manifest has.
        recorded: String,
        /// What it is held against.
        source_name: String,
        /// The digest of that.
        given: String,
    },
    /// A run whose model is still the one that it began with.
    #[error(
        "{}: in none of the {rounds} rounds were updates aggregated, so that the model is still the initial one: at most \
         {most} of {selected} updates were accepted in a round; report.html there says who was absent and what was refused",
        path.display()
    )]
    NothingAggregated {
        /// The run's directory.
        path: PathBuf,
        /// How many rounds it has.
        rounds: u32,
        /// The most updates that were accepted in a round.
        most: u32,
        /// How many were asked for in that round.
        selected: u32,
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
    /// Another process writes this directory, on a file system without locks.
    #[error(
        "{} is being written by process {pid} on {host}; wait for it to end, or choose another directory; should it be \
         there no more, remove {}",
        path.display(), file.display()
    )]
    LockedFrom {
        /// The directory.
        path: PathBuf,
        /// The machine that the process is on.
        host: String,
        /// The process.
        pid: u32,
        /// The file that says so.
        file: PathBuf,
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
