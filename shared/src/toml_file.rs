//! Files that people write, in TOML: what is wrong with one is said in the same way, whatever it is about.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::advice::Advised;

/// What is wrong with a file, in one line that names it, and the line or the key.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{file}: {}", Advised(cause))]
    Unreadable {
        /// The file.
        file: String,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{file}:{line}: {message}")]
    Text {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What the TOML reader says.
        message: String,
    },
    /// A value out of its range, or values that contradict each other.
    #[error("{file}: {key}: {message}")]
    Invalid {
        /// The file.
        file: String,
        /// The dotted key, after the name of what it belongs to if there are several of that.
        key: String,
        /// What is wrong, and what would be right.
        message: String,
    },
}

impl FileError {
    /// A value that cannot be.
    pub fn invalid(file: &str, key: &str, message: impl Into<String>) -> Self {
        FileError::Invalid { file: file.to_owned(), key: key.to_owned(), message: message.into() }
    }
}

/// The text of the file `path`.
///
/// # Errors
/// [`FileError::Unreadable`].
pub fn read(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path)
        .map_err(|cause| FileError::Unreadable { file: path.display().to_string(), cause })
}

/// What `text` says; `file` is what errors call it.
///
/// # Errors
/// [`FileError::Text`].
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.get(..start).unwrap_or(text).matches('\n').count();
        FileError::Text { file: file.to_owned(), line, message: one_line(error.message()) }
    })
}

/// [`read`] and [`parse`].
///
/// # Errors
/// As theirs.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    parse(&path.display().to_string(), &read(path)?)
}

pub(crate) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
