//! What a device reports of its hardware and its client.

use serde::{Deserialize, Serialize};

use super::short_text::{optional, short_text};
use crate::identity::Digest;

/// The machine that a device's client runs on, and which client that is. What is not known is absent; texts have at most
/// 160 printable characters ([`short_text`](fn@super::short_text)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// What the board or machine is called by its maker.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub model: Option<Box<str>>,
    /// Its processor, as its kernel calls it (`uname -m`).
    #[serde(
        rename = "arch",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional"
    )]
    pub architecture: Option<Box<str>>,
    /// The release of its kernel.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub kernel: Option<Box<str>>,
    /// SHA-256 of the client's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Digest>,
    /// The release that was deployed, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional")]
    pub release: Option<Box<str>>,
}

impl Hardware {
    /// Whether nothing is told.
    pub fn is_unknown(&self) -> bool {
        *self == Hardware::default()
    }

    /// `text` as it may be told; `None` if nothing is left of it.
    pub fn text(text: &str) -> Option<Box<str>> {
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| short_text(text).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_becomes_one_short_line() {
        assert_eq!(
            Hardware::text("Raspberry Pi 5 Model B Rev 1.0\0").as_deref(),
            Some("Raspberry Pi 5 Model B Rev 1.0")
        );
        assert_eq!(Hardware::text("a\u{1b}b\n").as_deref(), Some("a\u{fffd}b"));
        assert_eq!(Hardware::text(" \0\n"), None);
    }
}
