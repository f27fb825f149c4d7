//! What this device does of an attack, for the bench that started it: a line of JSON each, in a file that all of the
//! bench's clients on this machine append to.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use scenario::attack_record::AttackEvent;
use tracing::warn;

/// The file; nothing is written where there is none.
#[derive(Debug)]
pub(crate) struct AttackLog(Option<(PathBuf, File)>);

impl AttackLog {
    /// The log at `path`, if one is given.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| -> anyhow::Result<_> {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Ok((path.to_owned(), file.with_context(|| format!("--attack-log {}", path.display()))?))
        };
        Ok(AttackLog(path.map(open).transpose()?))
    }

    /// Appends a line. It is with the operating system when this returns, and so before what is published next.
    pub(crate) fn append(&mut self, event: &AttackEvent) {
        let Some((path, file)) = &mut self.0 else { return };
        let line = serde_json::to_string(event).map(|line| line + "\n");
        // In one write, which no other client's comes into.
        if let Err(error) = line.map_err(Into::into).and_then(|line| file.write_all(line.as_bytes())) {
            warn!("--attack-log {}: {error}", path.display());
        }
    }
}
