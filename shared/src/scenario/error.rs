//! What can be wrong with a scenario.

/// What is wrong with a scenario, in one line that names the file and the key.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{file}: {cause}; check the path")]
    Unreadable {
        /// The scenario file.
        file: String,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{file}:{line}: {message}")]
    Text {
        /// The scenario file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What the TOML reader says.
        message: String,
    },
    /// An override that is not `key=value`, or that names no key.
    #[error("--set {setting}: {message}")]
    Setting {
        /// The override as given.
        setting: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value out of its range, or values that contradict each other.
    #[error("{file}: {key}: {message}")]
    Invalid {
        /// The scenario file.
        file: String,
        /// The dotted key.
        key: &'static str,
        /// What is wrong, and what would be right.
        message: String,
    },
}
