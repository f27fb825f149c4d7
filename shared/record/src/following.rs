//! Following a run's record while it is written.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::mem;
use std::path::{Path, PathBuf};

use super::files::{missing_is_none, open_file};
use super::stored::ROUNDS;
use super::{RecordError, RoundRecord};

/// The rounds that another process records in a run's directory, as they come. For those who wait: what is believed is
/// checked afterwards, by [`StoredRun`](super::StoredRun).
#[derive(Debug)]
pub struct FollowedRun {
    directory: PathBuf,
    /// How far `rounds.jsonl` has been read.
    position: u64,
    recorded: u32,
    /// What has been read, and not asked for by [`FollowedRun::fresh`] yet.
    untold: Vec<RoundRecord>,
}

impl FollowedRun {
    /// The run in `directory`, which need not be there yet, from its first round.
    pub fn of(directory: &Path) -> Self {
        FollowedRun { directory: directory.to_owned(), position: 0, recorded: 0, untold: Vec::new() }
    }

    /// The run's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many rounds there are by now.
    ///
    /// # Errors
    /// [`RecordError::NotAFile`] or [`RecordError::Io`].
    pub fn recorded(&mut self) -> Result<u32, RecordError> {
        self.read()?;
        Ok(self.recorded)
    }

    /// What has been recorded since the last call.
    ///
    /// # Errors
    /// [`RecordError::NotAFile`] or [`RecordError::Io`].
    pub fn fresh(&mut self) -> Result<Vec<RoundRecord>, RecordError> {
        self.read()?;
        Ok(mem::take(&mut self.untold))
    }

    /// Reads on. Done many times a second; reads nothing twice.
    fn read(&mut self) -> Result<(), RecordError> {
        let path = self.directory.join(ROUNDS);
        let file = missing_is_none(open_file(&path, OpenOptions::new().read(true)))?;
        let Some(mut file) = file else { return Ok(()) };
        let mut read_on = || {
            // Resuming cuts the file: what is behind the cut comes again.
            self.position = self.position.min(file.metadata()?.len());
            file.seek(SeekFrom::Start(self.position))?;
            let mut text = String::new();
            file.read_to_string(&mut text).map(|_| text)
        };
        let text = read_on().map_err(RecordError::io("read", &path))?;
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        self.position += complete as u64;
        // A line that a crash has torn is no record, and the run will write it again.
        let records = text[..complete].lines().filter_map(|line| serde_json::from_str(line).ok());
        let records: Vec<RoundRecord> = records.collect();
        if let Some(last) = records.last() {
            self.recorded = last.round;
        }
        self.untold.extend(records);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(round: u32) -> String {
        serde_json::to_string(&RoundRecord { round, ..RoundRecord::default() }).unwrap() + "\n"
    }

    /// What is new, and how many there are.
    fn fresh(rounds: &mut FollowedRun) -> (Vec<u32>, u32) {
        let fresh = rounds.fresh().unwrap().iter().map(|record| record.round).collect();
        (fresh, rounds.recorded().unwrap())
    }

    #[test]
    fn only_what_is_new_is_read_and_a_cut_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut rounds) = (folder.path().join("rounds.jsonl"), FollowedRun::of(folder.path()));
        assert_eq!(fresh(&mut rounds), (vec![], 0), "nothing has been written yet");
        let mut text = line(1) + &line(2);
        fs::write(&path, text.clone() + "{\"round\":3,").unwrap();
        assert_eq!(fresh(&mut rounds), (vec![1, 2], 2));
        assert_eq!(fresh(&mut rounds), (vec![], 2), "the third is not whole");
        // What has been read is not read again, whatever has become of it.
        text = "#".repeat(text.len()) + &line(3);
        fs::write(&path, &text).unwrap();
        assert_eq!(fresh(&mut rounds), (vec![3], 3));
        // A resumed run drops the round behind its checkpoint, and records it again.
        text.truncate(text.len() - line(3).len());
        fs::write(&path, &text).unwrap();
        assert!(fresh(&mut rounds).0.is_empty());
        fs::write(&path, text + &line(3) + &line(4)).unwrap();
        assert_eq!(fresh(&mut rounds), (vec![3, 4], 4));
    }

    #[test]
    fn they_are_counted_before_they_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut rounds) = (folder.path().join("rounds.jsonl"), FollowedRun::of(folder.path()));
        fs::write(&path, line(1)).unwrap();
        assert_eq!(rounds.recorded().unwrap(), 1);
        fs::write(&path, line(1) + &line(2)).unwrap();
        assert_eq!(rounds.recorded().unwrap(), 2, "as of now, not of when they were told last");
        assert_eq!(fresh(&mut rounds), (vec![1, 2], 2));
        assert_eq!(fresh(&mut rounds), (vec![], 2));
    }
}
