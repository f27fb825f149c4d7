//! `rounds.jsonl`: one record a line, the last of which a killed process may have torn.

use std::path::Path;

use super::{RecordError, RoundRecord};

/// The complete lines of `rounds.jsonl`, each with the offset of the byte after it. A last line without its
/// line feed was torn when the process was killed, and is left out.
pub(super) fn parse_records<'a>(
    path: &'a Path,
    content: &'a [u8],
) -> impl Iterator<Item = Result<(RoundRecord, usize), RecordError>> + 'a {
    let complete = content.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let mut end = 0;
    let mut previous: Option<u32> = None;
    complete.enumerate().map(move |(index, line)| {
        let record: RoundRecord = serde_json::from_slice(line)
            .map_err(|error| RecordError::damaged(path, format!("line {}: {error}", index + 1)))?;
        if previous.is_some_and(|previous| previous.checked_add(1) != Some(record.round)) {
            let what = format!(
                "line {} is of round {}, which does not follow the line above",
                index + 1,
                record.round
            );
            return Err(RecordError::damaged(path, what));
        }
        previous = Some(record.round);
        end += line.len();
        Ok((record, end))
    })
}

/// The records up to `round`, and the offset of the byte after them.
pub(super) fn records_up_to(
    path: &Path,
    content: &[u8],
    round: u32,
) -> Result<(Vec<RoundRecord>, usize), RecordError> {
    let (mut records, mut length) = (Vec::new(), 0);
    for record in parse_records(path, content) {
        let (record, end) = record?;
        if record.round <= round {
            length = end;
            records.push(record);
        }
        if records.last().is_none_or(|last| last.round >= round) {
            break;
        }
    }
    // Round 0 is the initial model, of which there is no record.
    if round > 0 && records.last().is_none_or(|last| last.round != round) {
        let what = format!("it has no record of round {round}, which the checkpoint is of");
        return Err(RecordError::damaged(path, what));
    }
    Ok((records, length))
}
