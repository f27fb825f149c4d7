//! `rounds.jsonl`: one record a line, the last of which a killed process may have torn.
//!
//! Each line ends with a running digest: of its content and of the digest of the line before it, or, of the first, of
//! the run's id. So a line that is changed, left out, put elsewhere or taken from another run is found, at the cost of
//! one digest a round.

use std::fmt;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use wire::identity::{Digest, RunId};

use super::files::encoding;
use super::{RecordError, RoundRecord};

/// The running digest up to some line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain(Digest);

impl Chain {
    /// Before the first line of `run`.
    pub(super) fn of(run: RunId) -> Self {
        Chain(Digest::of(run.to_string().as_bytes()))
    }

    /// After one more line, which begins with `content`.
    fn after(self, content: &[u8]) -> Self {
        Chain(Digest::of(&[&self.0.0, content].concat()))
    }

    /// What a line ends with after its content.
    fn ending(self) -> String {
        format!(",\"sha256\":\"{self}\"}}\n")
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The line of `record`, which follows `before`, and the running digest after it.
pub(super) fn line(
    path: &Path,
    record: &RoundRecord,
    before: Chain,
) -> Result<(Vec<u8>, Chain), RecordError> {
    let mut line = serde_json::to_vec(record).map_err(encoding(path))?;
    // The brace that ends it comes after the digest.
    line.pop();
    let chain = before.after(&line);
    line.extend(chain.ending().as_bytes());
    Ok((line, chain))
}

/// The complete lines of the `rounds.jsonl` of a run, one after the other. A last line without its line feed was torn when
/// the process was killed, and is left out.
pub(super) struct Lines<R> {
    path: PathBuf,
    source: R,
    /// Offset of the byte after the last line that was read.
    pub(super) end: u64,
    /// The running digest up to it.
    pub(super) chain: Chain,
    /// The round of the last record that was read; 0 before the first.
    pub(super) round: u32,
}

impl<R: BufRead> Lines<R> {
    /// Those of `run`, which `source` reads from the file `path`.
    pub(super) fn of(path: PathBuf, source: R, run: RunId) -> Self {
        Lines { path, source, end: 0, chain: Chain::of(run), round: 0 }
    }

    /// The record of the next line, if there is one more.
    fn read(&mut self) -> Result<Option<RoundRecord>, RecordError> {
        let mut line = Vec::new();
        self.source.read_until(b'\n', &mut line).map_err(RecordError::io("read", &self.path))?;
        if !line.ends_with(b"\n") {
            return Ok(None);
        }
        let damaged = |what: String| {
            // Each line has the record of the round of its number.
            RecordError::damaged(&self.path, format!("line {} {what}", self.round + 1))
        };
        let (content, ending) = line.split_at(line.len().saturating_sub(self.chain.ending().len()));
        let chain = self.chain.after(content);
        if ending != chain.ending().as_bytes() {
            return Err(damaged("does not have the digest that it and the lines above must have".to_owned()));
        }
        let record: RoundRecord =
            serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
        if self.round.checked_add(1) != Some(record.round) {
            return Err(damaged(format!(
                "is of round {}, which does not follow the line above",
                record.round
            )));
        }
        self.end += line.len() as u64;
        (self.chain, self.round) = (chain, record.round);
        Ok(Some(record))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<RoundRecord, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
