//! Errors of a scenario.

use input::toml_file::FileError;

/// What is wrong with a scenario, in one line that names the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// An override that is not `key=value`, or that names no key.
    #[error("--set {setting}: {message}")]
    Setting {
        /// The override as given.
        setting: String,
        /// What is wrong with it.
        message: String,
    },
}
