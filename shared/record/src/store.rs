//! The directory itself: made, locked, appended to, checkpointed, resumed and finished.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use learning::parameters::Parameters;
use scenario::Scenario;
use scenario::remembered::Remembered;

use super::files::{
    missing_is_none, open_file, read, read_if_there, refuse_no_file, write_atomically, write_json,
};
use super::lock::{LOCK, Lock, WRITER};
use super::rounds_file::{Chain, line};
use super::stored::{
    BEST, CHECKPOINT, FILES, MANIFEST, METRICS, REPORT, ROUNDS, SCENARIO, SUMMARY, SoFar, StoredRun, TERM,
    TRAINING_MEMORY,
};
use super::{Checkpoint, Manifest, RecordError, RoundRecord, State, Summary, metrics, report};

/// The directory of one run, locked for this process while the value lives.
#[derive(Debug)]
pub struct RunDirectory {
    stored: StoredRun,
    rounds: File,
    /// The running digest of the lines so far.
    chain: Chain,
    /// Whether there are any.
    has_records: bool,
    _lock: Lock,
}

impl RunDirectory {
    /// Makes the directory of a new run that begins with the model `initial`, or opens the one that a run of the same
    /// scenario, or of fewer rounds of it, left at `path`; that run's manifest, and so its run id, is then kept.
    ///
    /// # Errors
    /// [`RecordError::Occupied`] or [`RecordError::OtherData`] if `path` holds anything else, [`RecordError::Locked`] or
    /// [`RecordError::LockedFrom`], and the errors of [`StoredRun::open`].
    pub fn create(
        path: &Path,
        scenario: &Scenario,
        manifest: &Manifest,
        initial: impl FnOnce() -> Parameters,
    ) -> Result<Self, RecordError> {
        fs::create_dir_all(path).map_err(RecordError::io("create", path))?;
        FILES.iter().try_for_each(|name| refuse_no_file(&path.join(name)))?;
        if !StoredRun::exists(path) {
            refuse_foreign_files(path)?;
        }
        let lock = Lock::take(path)?;
        // Another process may have made the run while this one had no lock yet.
        if !StoredRun::exists(path) {
            refuse_foreign_files(path)?;
            write_atomically(&path.join(SCENARIO), scenario.to_toml().as_bytes())?;
            write_atomically(&path.join(ROUNDS), b"")?;
            let beginning = Checkpoint::new(0, initial(), Arc::default(), Chain::of(manifest.run));
            beginning.write(&path.join(CHECKPOINT), manifest.run)?;
            write_json(&path.join(MANIFEST), manifest)?;
        }
        let stored = StoredRun::open(path, &scenario.catalogue)?;
        stored.check(scenario, manifest)?;
        let rounds = path.join(ROUNDS);
        let opened = missing_is_none(open_file(&rounds, OpenOptions::new().append(true)))?;
        let rounds = opened.ok_or(RecordError::Missing { path: rounds })?;
        let chain = Chain::of(stored.manifest().run);
        let mut run = RunDirectory { stored, rounds, chain, has_records: false, _lock: lock };
        run.state_rounds(scenario)?;
        Ok(run)
    }

    /// Brings scenario and manifest up to date with a scenario that may have more rounds.
    fn state_rounds(&mut self, scenario: &Scenario) -> Result<(), RecordError> {
        let place = self.stored.file(SCENARIO);
        let is_longer = scenario.rounds > self.stored.scenario().rounds;
        if !is_longer && read(&place)? == scenario.to_toml().as_bytes() {
            return Ok(());
        }
        if is_longer {
            // First: who finds a summary takes the run for finished.
            for name in [SUMMARY, METRICS, REPORT] {
                remove(&self.stored.file(name))?;
            }
        }
        write_atomically(&place, scenario.to_toml().as_bytes())?;
        let manifest = Manifest {
            scenario_sha256: scenario.digest().to_string(),
            rounds: scenario.rounds,
            ..self.stored.manifest().clone()
        };
        write_json(&self.stored.file(MANIFEST), &manifest)?;
        self.stored = StoredRun::open(self.stored.path(), &scenario.catalogue)?;
        Ok(())
    }

    /// The run as the directory holds it.
    pub fn stored(&self) -> &StoredRun {
        &self.stored
    }

    /// A number for this start of the aggregator: `now`, or one more than the last start's where a clock that was set
    /// back would make it smaller.
    ///
    /// # Errors
    /// [`RecordError::Missing`] if there are rounds and no number of their start, [`RecordError::Damaged`] if it cannot
    /// be read, or [`RecordError::Io`].
    pub fn next_term(&mut self, now: u64) -> Result<u64, RecordError> {
        let path = self.stored.file(TERM);
        let last = match read_if_there(&path)? {
            Some(text) => std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<u64>().ok()),
            None if self.has_records => return Err(RecordError::Missing { path }),
            None => Some(0),
        };
        let last = last.ok_or_else(|| RecordError::damaged(&path, "it holds no number"))?;
        let term = now.max(last.saturating_add(1));
        write_atomically(&path, term.to_string().as_bytes())?;
        Ok(term)
    }

    /// Adds a finished round. The line is with the operating system when this returns, and so outlives this
    /// process; it is on the disk after the next [`RunDirectory::checkpoint`].
    ///
    /// # Errors
    /// [`RecordError::Io`]; part of the line may then be in the file, so the run must be resumed before it goes on.
    pub fn append(&mut self, record: &RoundRecord) -> Result<(), RecordError> {
        let path = self.stored.file(ROUNDS);
        let (line, chain) = line(&path, record, self.chain)?;
        // One write, so that a killed process leaves at most one torn line, at the end.
        self.rounds
            .write_all(&line)
            .and_then(|()| self.rounds.flush())
            .map_err(RecordError::io("append to", &path))?;
        (self.chain, self.has_records) = (chain, true);
        Ok(())
    }

    /// Replaces the checkpoint by the global model after `round`, whose record must have been appended last, and what is
    /// `remembered` then.
    ///
    /// # Errors
    /// [`RecordError::Checkpoint`] or [`RecordError::Io`]; the previous checkpoint is then still there.
    pub fn checkpoint(
        &mut self,
        round: u32,
        parameters: &Parameters,
        remembered: &Arc<Remembered>,
    ) -> Result<(), RecordError> {
        // A checkpoint that survives a power failure must not be ahead of the rounds that do.
        self.rounds.sync_data().map_err(RecordError::io("sync", &self.stored.file(ROUNDS)))?;
        self.write_model(CHECKPOINT, round, parameters, remembered)
    }

    /// Keeps the global model after `round` as the best so far, which must have been checkpointed.
    ///
    /// # Errors
    /// As [`RunDirectory::checkpoint`].
    pub fn keep_best(
        &mut self,
        round: u32,
        parameters: &Parameters,
        remembered: &Arc<Remembered>,
    ) -> Result<(), RecordError> {
        self.write_model(BEST, round, parameters, remembered)
    }

    fn write_model(
        &self,
        name: &str,
        round: u32,
        parameters: &Parameters,
        remembered: &Arc<Remembered>,
    ) -> Result<(), RecordError> {
        let model = Checkpoint::new(round, parameters.clone(), remembered.clone(), self.chain);
        model.write(&self.stored.file(name), self.stored.manifest().run)
    }

    /// Where the run continues: the checkpoint, and all records up to it. Records of later rounds, a torn last line among
    /// them, are removed. To be called before the first [`RunDirectory::append`].
    ///
    /// # Errors
    /// [`RecordError::Missing`] or [`RecordError::Damaged`] if the checkpoint, the best model or a record is not there,
    /// or not what this program wrote, or [`RecordError::Io`]; nothing has been changed then.
    pub fn resume(&mut self) -> Result<(Checkpoint, Vec<RoundRecord>), RecordError> {
        let SoFar { checkpoint, records, length, chain, best, .. } = self.stored.so_far()?;
        // Killed after the checkpoint, the run has perhaps not kept it yet.
        if let Some(best) = best.filter(|best| best.round == checkpoint.round) {
            best.write(&self.stored.file(BEST), self.stored.manifest().run)?;
        }
        let cut = self.rounds.set_len(length).and_then(|()| self.rounds.sync_data());
        cut.map_err(RecordError::io("truncate", &self.stored.file(ROUNDS)))?;
        self.chain = chain;
        self.has_records = !records.is_empty();
        Ok((checkpoint, records))
    }

    /// Ends the run, whose last round has been checkpointed: writes its metrics, its summary and its report.
    ///
    /// # Errors
    /// Those of [`StoredRun::arm`], [`RecordError::Plot`], or [`RecordError::NothingAggregated`] once all is written.
    pub fn finish(&self) -> Result<Summary, RecordError> {
        let so_far = self.stored.so_far()?;
        let name = &self.stored.scenario().name;
        let arm = self.stored.arm_of(name, State::Finished, so_far)?;
        write_atomically(&self.stored.file(METRICS), metrics::to_csv(&arm.records).as_bytes())?;
        let page = report::render(name, std::slice::from_ref(&arm))?;
        write_atomically(&self.stored.file(REPORT), page.as_bytes())?;
        // Last: who finds a summary finds the rest.
        write_json(&self.stored.file(SUMMARY), &arm.summary)?;
        self.stored.check_aggregated(&arm.records)?;
        Ok(arm.summary)
    }
}

/// Refuses a directory that holds more than an interrupted [`RunDirectory::create`] leaves behind.
fn refuse_foreign_files(path: &Path) -> Result<(), RecordError> {
    // It is written after the others, and only that of round 0 before the manifest.
    let checkpoint = path.join(CHECKPOINT);
    if let Some(bytes) = read_if_there(&checkpoint)? {
        let others = [SCENARIO, ROUNDS].iter().all(|name| path.join(name).exists());
        if !others || Checkpoint::round_of(&bytes) != Some(0) {
            return Err(RecordError::Missing { path: path.join(MANIFEST) });
        }
    }
    // Clients may be there first, and have looked whether they can keep something.
    let unfinished = [LOCK, WRITER, SCENARIO, ROUNDS, CHECKPOINT, TRAINING_MEMORY].map(str::to_owned);
    let temporary = [SCENARIO, ROUNDS, CHECKPOINT, MANIFEST].map(|name| format!("{name}.tmp"));
    for entry in fs::read_dir(path).map_err(RecordError::io("list", path))? {
        let entry = entry.map_err(RecordError::io("list", path))?;
        let name = entry.file_name();
        let has_rounds = || name == ROUNDS && entry.metadata().is_ok_and(|found| found.len() > 0);
        if unfinished.iter().chain(&temporary).any(|ours| name == ours.as_str()) && !has_rounds() {
            continue;
        }
        if FILES.iter().any(|&ours| name == ours) {
            return Err(RecordError::Missing { path: path.join(MANIFEST) });
        }
        let holds = format!("`{}` and is not a run directory", name.display());
        return Err(RecordError::Occupied { path: path.to_owned(), holds });
    }
    Ok(())
}

/// Removes a file, if there is one, for good.
fn remove(path: &Path) -> Result<(), RecordError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(RecordError::io("remove", path)(error)),
        Ok(()) => {
            let directory = path.parent().unwrap_or(Path::new("."));
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(RecordError::io("sync", directory))
        }
    }
}

#[cfg(test)]
mod tests;
