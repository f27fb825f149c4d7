//! Following a run's record while it is written.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use aggregator_node::record::RoundRecord;
use anyhow::Context;

/// The lines that another process adds to `rounds.jsonl`.
pub(super) struct NewRounds {
    path: PathBuf,
    position: u64,
}

impl NewRounds {
    /// What is added to the run in `out` from the start.
    pub(super) fn of(out: &Path) -> Self {
        NewRounds { path: out.join("rounds.jsonl"), position: 0 }
    }

    /// The rounds that have been recorded since the last call.
    pub(super) fn poll(&mut self) -> anyhow::Result<Vec<RoundRecord>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| self.path.display().to_string()),
        };
        // Resuming cuts the file: what is behind the cut comes again.
        let length = file.metadata()?.len();
        self.position = self.position.min(length);
        file.seek(SeekFrom::Start(self.position))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        self.position += complete as u64;
        // A line that a crash has torn is no record, and the run will write it again.
        Ok(text[..complete].lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}
