//! Files that people write, in TOML: what is wrong with one is said in the same way, whatever it is about.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

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
    /// Text in another encoding than UTF-8, or no text at all.
    #[error("{file}: {what}; save it as UTF-8")]
    Encoding {
        /// The file.
        file: String,
        /// What it is instead.
        what: String,
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
/// [`FileError::Unreadable`], [`FileError::Encoding`].
pub fn read(path: &Path) -> Result<String, FileError> {
    let file = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => text(bytes).map_err(|what| FileError::Encoding { file, what }),
        Err(cause) => Err(FileError::Unreadable { file, cause }),
    }
}

/// `bytes` as text, without the mark that some editors put before it.
///
/// # Errors
/// What they are instead.
pub fn text(bytes: Vec<u8>) -> Result<String, String> {
    match bytes[..] {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err("it is text in UTF-16".to_owned()),
        _ if bytes.contains(&0) => return Err("it holds a zero byte, as text in UTF-16 does".to_owned()),
        _ => {}
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
        format!("line {} is not text in UTF-8", 1 + before.matches('\n').count())
    })?;
    Ok(text.strip_prefix('\u{feff}').map(ToOwned::to_owned).unwrap_or(text))
}

/// What `text` says; `file` is what errors call it.
///
/// # Errors
/// [`FileError::Text`].
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.get(..start).unwrap_or(text).matches('\n').count();
        FileError::Text { file: file.to_owned(), line, message: plain(error.message()) }
    })
}

/// [`read`] and [`parse`].
///
/// # Errors
/// As theirs.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    parse(&path.display().to_string(), &read(path)?)
}

/// The line, from 1, of the dotted `key` in `text`; `None` if it is not there.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut start = None;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let (name, mut value) = table.iter().find(|(name, _)| name.get_ref() == part)?;
        start = Some(name.span().start);
        if let Some((DeValue::Array(tables), number)) = Some(value.get_ref()).zip(parts.peek()) {
            value = tables.get(number.parse::<usize>().ok()?)?;
            parts.next();
        }
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ if parts.peek().is_some() => return None,
            _ => {}
        }
    }
    Some(1 + text.get(..start?)?.matches('\n').count())
}

/// What the parser says, in words for who writes a file.
pub fn plain(message: &str) -> String {
    match one_line(message) {
        said if said.starts_with("u64 value was too large")
            || said.starts_with("i64 value was too large") =>
        {
            format!("a number beyond {}, the largest of TOML", i64::MAX)
        }
        said if said.starts_with("invalid type: unit variant") => {
            "a name is expected here, in quotes".to_owned()
        }
        said => said,
    }
}

/// A message as one line.
pub fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf_8_is_named_and_its_mark_is_no_obstacle() {
        let utf16 = |text: &str, mark: &[u8]| {
            [mark, &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat()
        };
        assert_eq!(text(b"\xef\xbb\xbfa = 1\n".to_vec()).unwrap(), "a = 1\n");
        for (bytes, what) in [
            (utf16("a = 1", b"\xff\xfe"), "it is text in UTF-16"),
            (b"\xfe\xff\0a".to_vec(), "it is text in UTF-16"),
            (utf16("a = 1", b""), "it holds a zero byte, as text in UTF-16 does"),
            (b"a = 1\nb = \"caf\xe9\"\n".to_vec(), "line 2 is not text in UTF-8"),
        ] {
            assert_eq!(text(bytes).unwrap_err(), what);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        std::fs::write(&path, b"\xff\xfea\0").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{}: it is text in UTF-16; save it as UTF-8", path.display()));
    }
}
