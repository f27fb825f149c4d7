//! `rounds.jsonl`: one record a line, the last of which a killed process may have torn.
//!
//! Each line ends with a running digest: of its content and of the digest of the line before it, or, of the first, of
//! the run's id. So a line that is changed, left out, put elsewhere or taken from another run is found, at the cost of
//! one digest a round.

use std::fmt;
use std::path::Path;

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

/// The record of a complete line.
pub(super) struct Line {
    pub(super) record: RoundRecord,
    /// Offset of the byte after it.
    pub(super) end: usize,
    /// The running digest up to it.
    pub(super) chain: Chain,
}

/// The complete lines of the `rounds.jsonl` of `run`. A last line without its line feed was torn when the process was
/// killed, and is left out.
pub(super) fn lines<'a>(
    path: &'a Path,
    content: &'a [u8],
    run: RunId,
) -> impl Iterator<Item = Result<Line, RecordError>> + 'a {
    let complete = content.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let (mut end, mut chain, mut previous) = (0, Chain::of(run), 0u32);
    complete.enumerate().map(move |(index, line)| {
        let damaged = |what: String| RecordError::damaged(path, format!("line {} {what}", index + 1));
        let (content, ending) = line.split_at(line.len().saturating_sub(chain.ending().len()));
        chain = chain.after(content);
        if ending != chain.ending().as_bytes() {
            return Err(damaged("does not have the digest that it and the lines above must have".to_owned()));
        }
        let record: RoundRecord = serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
        if previous.checked_add(1) != Some(record.round) {
            return Err(damaged(format!(
                "is of round {}, which does not follow the line above",
                record.round
            )));
        }
        previous = record.round;
        end += line.len();
        Ok(Line { record, end, chain })
    })
}

/// What is recorded up to some round.
#[derive(Debug, PartialEq)]
pub(super) struct Recorded {
    pub(super) records: Vec<RoundRecord>,
    /// Offset of the byte after the last of them.
    pub(super) length: usize,
    /// The running digest up to it.
    pub(super) chain: Chain,
}

/// What `run` has recorded up to `round`, of which there must be a record unless it is 0, the initial model.
pub(super) fn recorded_up_to(
    path: &Path,
    content: &[u8],
    run: RunId,
    round: u32,
) -> Result<Recorded, RecordError> {
    let mut recorded = Recorded { records: Vec::new(), length: 0, chain: Chain::of(run) };
    for line in lines(path, content, run).take(round as usize) {
        let Line { record, end, chain } = line?;
        (recorded.length, recorded.chain) = (end, chain);
        recorded.records.push(record);
    }
    if recorded.records.len() < round as usize {
        let what = format!("it has no record of round {round}, which the checkpoint is of");
        return Err(RecordError::damaged(path, what));
    }
    Ok(recorded)
}
