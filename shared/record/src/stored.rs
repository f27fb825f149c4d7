//! Reading a run from its directory.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use learning::parameters::Layout;
use scenario::catalogue::Catalogue;
use scenario::{ResultModel, Scenario};

use super::devices_file::DEVICES;
use super::files::{copy_file, missing_is_none, open_file, parse, read, read_if_there, refuse_no_file};
use super::lock::{LOCK, Lock, WRITER};
use super::rounds_file::{Chain, Lines};
use super::summary::Totals;
use super::{Arm, Checkpoint, Devices, FORMAT, Manifest, RecordError, RoundRecord, Summary};

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SCENARIO: &str = "scenario.toml";
pub(super) const ROUNDS: &str = "rounds.jsonl";
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";
/// The global model of lowest testing error, where the scenario asks for it.
pub(super) const BEST: &str = "best.safetensors";
/// The number of the last start of the aggregator.
pub(super) const TERM: &str = "term";
pub(super) const METRICS: &str = "metrics.csv";
pub(super) const SUMMARY: &str = "summary.json";
pub(super) const REPORT: &str = "report.html";
/// What the clients of a bench keep of an attack, in safetensors; they write it.
pub const ATTACK_MEMORY: &str = "attack-memory.safetensors";
/// The folder in which each client of a bench keeps its momentum, in a file of its own.
pub const TRAINING_MEMORY: &str = "training-memory";

/// Every file that there may be in a run directory.
pub(super) const FILES: [&str; 13] = [
    LOCK,
    WRITER,
    MANIFEST,
    SCENARIO,
    ROUNDS,
    CHECKPOINT,
    BEST,
    TERM,
    METRICS,
    SUMMARY,
    REPORT,
    DEVICES,
    ATTACK_MEMORY,
];

/// A run as its directory holds it, to be looked at: nothing is locked, and nothing is written.
#[derive(Clone, Debug)]
pub struct StoredRun {
    path: PathBuf,
    manifest: Manifest,
    layout: Arc<Layout>,
    scenario: Scenario,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Every round is recorded, and summed up.
    Finished,
    /// A process is at work on it.
    InProgress,
    /// Nobody is; the command that it was started with goes on with it.
    Interrupted,
}

impl State {
    /// It in words, of a run that has recorded `done` of its `rounds`.
    pub fn in_words(self, done: u32, rounds: u32) -> String {
        match self {
            State::Finished => format!("finished, with all of its {rounds} rounds"),
            State::InProgress => format!("in progress, with {done} of {rounds} rounds so far"),
            State::Interrupted => format!(
                "interrupted after {done} of {rounds} rounds; the command that it was started with goes on with it"
            ),
        }
    }
}

/// The records of the rounds of a run up to its checkpoint, one after the other. Each is held against its digest, and the
/// last against the checkpoint.
pub struct Rounds<'a> {
    run: &'a StoredRun,
    checkpoint: Checkpoint,
    lines: Lines<BufReader<File>>,
    totals: Totals,
}

impl Rounds<'_> {
    fn read(&mut self) -> Result<Option<RoundRecord>, RecordError> {
        if self.lines.round < self.checkpoint.round {
            let record = self.lines.next().transpose()?;
            let record = record.ok_or_else(|| {
                let round = self.checkpoint.round;
                self.damaged(format!("it has no record of round {round}, which the checkpoint is of"))
            })?;
            self.totals.enter(&record);
            return Ok(Some(record));
        }
        if self.lines.chain.to_string() != self.checkpoint.rounds {
            let round = self.checkpoint.round;
            let what = "are not those that the checkpoint was written after";
            return Err(self.damaged(format!("its lines up to round {round} {what}")));
        }
        Ok(None)
    }

    fn damaged(&self, what: String) -> RecordError {
        RecordError::damaged(&self.run.file(ROUNDS), what)
    }

    /// The summary of the run by these rounds, which is `state`; those that have not been asked for are read as well. That of
    /// a finished run is held against the one that is written.
    ///
    /// # Errors
    /// [`RecordError::Missing`], [`RecordError::Damaged`] or [`RecordError::Io`].
    pub fn summary(mut self, state: State) -> Result<Summary, RecordError> {
        self.by_ref().try_for_each(|record| record.map(drop))?;
        // Of a run in progress, the model of lowest error may be newer than the checkpoint by now.
        let best = match state {
            State::InProgress => None,
            _ => self.run.best(&self.checkpoint, &self.totals)?,
        };
        let result = &best.as_ref().unwrap_or(&self.checkpoint).parameters;
        let summary = self.totals.summary(&self.run.scenario, &self.run.manifest.bench, result);
        if state == State::Finished {
            self.run.check_summary(&summary, &read(&self.run.file(SUMMARY))?)?;
        }
        Ok(summary)
    }
}

impl Iterator for Rounds<'_> {
    type Item = Result<RoundRecord, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// What a run has come to by its checkpoint.
#[derive(Debug)]
pub(super) struct SoFar {
    pub(super) checkpoint: Checkpoint,
    pub(super) records: Vec<RoundRecord>,
    /// Offset of the byte after the last of them.
    pub(super) length: u64,
    /// The running digest up to it.
    pub(super) chain: Chain,
    totals: Totals,
    /// The model of lowest testing error, if the scenario asks for it and there has been an evaluation.
    pub(super) best: Option<Checkpoint>,
}

impl SoFar {
    fn summary(&self, run: &StoredRun) -> Summary {
        let result = self.best.as_ref().unwrap_or(&self.checkpoint);
        self.totals.summary(&run.scenario, &run.manifest.bench, &result.parameters)
    }
}

impl StoredRun {
    /// Looks at the run in the directory `path`, whose scenario is read by `catalogue`.
    ///
    /// # Errors
    /// [`RecordError::NotARun`], [`RecordError::NotAFile`], [`RecordError::Format`], [`RecordError::Missing`],
    /// [`RecordError::Damaged`] or [`RecordError::Io`].
    pub fn open(path: &Path, catalogue: &Catalogue) -> Result<Self, RecordError> {
        if !Self::exists(path) {
            return Err(RecordError::NotARun { path: path.to_owned() });
        }
        FILES.iter().try_for_each(|name| refuse_no_file(&path.join(name)))?;
        let place = path.join(MANIFEST);
        let manifest = read_manifest(&place)?;
        let layout = manifest.model_layout().map(Arc::new);
        let too_large = "the model's layout has more values than memory can hold";
        let layout = layout.ok_or_else(|| RecordError::damaged(&place, too_large))?;
        let scenario = recorded_scenario(&path.join(SCENARIO), &manifest, catalogue)?;
        Ok(StoredRun { path: path.to_owned(), manifest, layout, scenario })
    }

    /// Whether `path` holds a run.
    pub fn exists(path: &Path) -> bool {
        path.join(MANIFEST).symlink_metadata().is_ok()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the run is made of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its scenario.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes sure that this is a run of `scenario`, perhaps of fewer rounds of it, that is made of what `given` says.
    ///
    /// # Errors
    /// [`RecordError::Occupied`] or [`RecordError::OtherData`].
    pub fn check(&self, scenario: &Scenario, given: &Manifest) -> Result<(), RecordError> {
        let occupied = |holds| Err(RecordError::Occupied { path: self.path.clone(), holds });
        let longer = Scenario { rounds: scenario.rounds, ..self.scenario.clone() };
        if longer.digest() != scenario.digest() {
            return occupied("a run of another scenario".to_owned());
        }
        let ends_between = !self.scenario.rounds.is_multiple_of(scenario.evaluation.every);
        if self.scenario.rounds < scenario.rounds
            && ends_between
            && scenario.evaluation.model == ResultModel::Best
        {
            return occupied(format!(
                "a run of {} rounds, which ends with an evaluation between those of evaluation.every = {}: its model may be \
                 the best, and would not be that of a run that was longer from the beginning",
                self.scenario.rounds, scenario.evaluation.every
            ));
        }
        if self.scenario.rounds > scenario.rounds {
            return occupied(format!("a run of this scenario with {} rounds", self.scenario.rounds));
        }
        self.manifest.check(&self.path, given)
    }

    /// How far it is.
    ///
    /// # Errors
    /// [`RecordError::NotAFile`] or [`RecordError::Io`].
    pub fn state(&self) -> Result<State, RecordError> {
        if self.is_summed_up() {
            return Ok(State::Finished);
        }
        match self.check_free() {
            Err(RecordError::Locked { .. } | RecordError::LockedFrom { .. }) => Ok(State::InProgress),
            free => free.map(|()| State::Interrupted),
        }
    }

    /// Copies its files to the directory `to`: the manifest last but for the summary, because who finds one of them finds
    /// the rest.
    ///
    /// # Errors
    /// [`RecordError::Io`].
    pub fn copy_to(&self, to: &Path) -> Result<(), RecordError> {
        fs::create_dir_all(to).map_err(RecordError::io("create", to))?;
        let entries = fs::read_dir(&self.path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(RecordError::io("list", &self.path))?;
        let is_copied = |entry: &DirEntry| {
            entry.file_name() != LOCK && entry.file_type().is_ok_and(|found| found.is_file())
        };
        let mut names: Vec<_> = entries.iter().filter(|it| is_copied(it)).map(DirEntry::file_name).collect();
        names.sort_by_key(|name| (name == SUMMARY, name == MANIFEST));
        names.iter().try_for_each(|name| copy_file(&self.path.join(name), &to.join(name)))
    }

    /// Makes sure that no process is at work on it.
    ///
    /// # Errors
    /// [`RecordError::Locked`] or [`RecordError::LockedFrom`], [`RecordError::NotAFile`] or [`RecordError::Io`].
    pub fn check_free(&self) -> Result<(), RecordError> {
        Lock::check_free(&self.path)
    }

    /// Whether it is finished, as far as can be seen without a look at what it holds.
    pub fn is_summed_up(&self) -> bool {
        self.file(SUMMARY).exists()
    }

    /// Whether all is there that a finished run leaves for people to look at.
    pub fn is_complete(&self) -> bool {
        [METRICS, REPORT].iter().all(|name| self.file(name).exists())
    }

    /// What the run came to, if it is finished. All that it holds is held against its digests, finished or not.
    ///
    /// # Errors
    /// [`RecordError::Missing`], [`RecordError::Damaged`] or [`RecordError::Io`]; [`RecordError::NothingAggregated`] for
    /// a run that came to nothing.
    pub fn finished(&self) -> Result<Option<Summary>, RecordError> {
        let place = self.file(SUMMARY);
        let Some(json) = read_if_there(&place)? else {
            self.so_far()?;
            return Ok(None);
        };
        let so_far = self.so_far()?;
        let summary = so_far.summary(self);
        self.check_summary(&summary, &json)?;
        self.check_aggregated(&so_far.records)?;
        Ok(Some(summary))
    }

    /// Makes sure that `summary`, of all rounds, is what is written of the finished run.
    fn check_summary(&self, summary: &Summary, written: &[u8]) -> Result<(), RecordError> {
        let place = self.file(SUMMARY);
        if summary.rounds != self.scenario.rounds || !summary.agrees_with(&parse(&place, written)?) {
            return Err(RecordError::damaged(&place, "it does not say what the rounds say"));
        }
        Ok(())
    }

    /// Refuses a run that is over, and whose model has never changed.
    pub(super) fn check_aggregated(&self, records: &[RoundRecord]) -> Result<(), RecordError> {
        if records.is_empty() || records.iter().any(|record| record.aggregated) {
            return Ok(());
        }
        let most = records.iter().max_by_key(|record| record.accepted);
        let (most, selected) = most.map_or((0, 0), |record| (record.accepted, record.selected));
        let (path, rounds) = (self.path.clone(), records.len() as u32);
        Err(RecordError::NothingAggregated { path, rounds, most, selected })
    }

    /// The global model after the last checkpointed round, or of lowest testing error if the scenario asks for that.
    ///
    /// # Errors
    /// [`RecordError::Missing`], [`RecordError::Damaged`] or [`RecordError::Io`].
    pub fn model(&self) -> Result<Checkpoint, RecordError> {
        let SoFar { checkpoint, best, .. } = self.so_far()?;
        Ok(best.unwrap_or(checkpoint))
    }

    /// The records of all rounds up to the last that is checkpointed.
    ///
    /// # Errors
    /// [`RecordError::Missing`], [`RecordError::Damaged`] or [`RecordError::Io`].
    pub fn records(&self) -> Result<Vec<RoundRecord>, RecordError> {
        Ok(self.checkpointed()?.records)
    }

    /// The run as one arm, called `label`, of a report that compares several.
    ///
    /// # Errors
    /// [`RecordError::Missing`], [`RecordError::Damaged`] or [`RecordError::Io`].
    pub fn arm(&self, label: &str) -> Result<Arm, RecordError> {
        let state = self.state()?;
        // Of a run in progress, the model of lowest error may be newer than the checkpoint by now.
        let so_far = if state == State::InProgress { self.checkpointed()? } else { self.so_far()? };
        self.arm_of(label, state, so_far)
    }

    pub(super) fn arm_of(&self, label: &str, state: State, so_far: SoFar) -> Result<Arm, RecordError> {
        Ok(Arm {
            label: label.to_owned(),
            state,
            rounds: self.scenario.rounds,
            summary: so_far.summary(self),
            manifest: self.manifest.clone(),
            records: so_far.records,
            scenario: self.scenario.clone(),
            devices: Devices::load(&self.path)?,
        })
    }

    /// The records of all rounds up to the last that is checkpointed, one after the other: those of a long run of many
    /// devices need not be in memory at once.
    ///
    /// # Errors
    /// [`RecordError::Missing`], [`RecordError::Damaged`] or [`RecordError::Io`].
    pub fn rounds(&self) -> Result<Rounds<'_>, RecordError> {
        let (run, checkpoint, rounds) = (self.manifest.run, self.file(CHECKPOINT), self.file(ROUNDS));
        let found = Checkpoint::read(&checkpoint, &self.layout, run)?;
        let found = found.ok_or_else(|| RecordError::Missing { path: checkpoint.clone() })?;
        if found.remembered.stages.len() > self.scenario.defense.len() {
            let what = "it keeps something of more stages than the scenario has";
            return Err(RecordError::damaged(&checkpoint, what));
        }
        // Later than the checkpoint, which is written after the rounds.
        let file = missing_is_none(open_file(&rounds, OpenOptions::new().read(true)))?;
        let file = file.ok_or_else(|| RecordError::Missing { path: rounds.clone() })?;
        let lines = Lines::of(rounds, BufReader::new(file), run);
        Ok(Rounds { run: self, checkpoint: found, lines, totals: Totals::default() })
    }

    /// The checkpoint and the rounds up to it.
    fn checkpointed(&self) -> Result<SoFar, RecordError> {
        let mut rounds = self.rounds()?;
        let records = rounds.by_ref().collect::<Result<_, _>>()?;
        let Rounds { checkpoint, lines, totals, .. } = rounds;
        Ok(SoFar { checkpoint, records, length: lines.end, chain: lines.chain, totals, best: None })
    }

    /// The checkpoint, the rounds up to it, and the model of lowest testing error if the scenario asks for it.
    pub(super) fn so_far(&self) -> Result<SoFar, RecordError> {
        let mut so_far = self.checkpointed()?;
        so_far.best = self.best(&so_far.checkpoint, &so_far.totals)?;
        Ok(so_far)
    }

    /// The model of lowest testing error, if the scenario asks for it and there has been an evaluation.
    fn best(&self, checkpoint: &Checkpoint, totals: &Totals) -> Result<Option<Checkpoint>, RecordError> {
        let asked_for = self.scenario.evaluation.model == ResultModel::Best;
        let Some(lowest) = totals.lowest.filter(|_| asked_for) else { return Ok(None) };
        let place = self.file(BEST);
        let found = Checkpoint::read(&place, &self.layout, self.manifest.run)?;
        let round = found.as_ref().map(|found| found.round);
        if round == Some(lowest.round) {
            return Ok(found);
        }
        // Killed between the two: the checkpoint is written first, and is of the same round.
        if lowest.round == checkpoint.round && round == lowest.before && !self.is_summed_up() {
            return Ok(Some(checkpoint.clone()));
        }
        Err(match round {
            None => RecordError::Missing { path: place },
            Some(round) => RecordError::damaged(
                &place,
                format!(
                    "it is of round {round}, but the lowest testing error is that of round {}",
                    lowest.round
                ),
            ),
        })
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, RecordError> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let bytes = read(path)?;
    // First, because another format may have other fields.
    let Version { format } = parse(path, &bytes)?;
    if format != FORMAT {
        return Err(RecordError::Format { path: path.to_owned(), found: format, expected: FORMAT });
    }
    parse(path, &bytes)
}

/// The scenario at `path`, whose digest `manifest` has. The file may state more rounds than that: then the process was
/// killed that raised their number.
fn recorded_scenario(
    path: &Path,
    manifest: &Manifest,
    catalogue: &Catalogue,
) -> Result<Scenario, RecordError> {
    let damaged = |what: String| RecordError::damaged(path, what);
    let text = String::from_utf8(read(path)?).map_err(|error| damaged(error.to_string()))?;
    let stated = catalogue.parse(&path.display().to_string(), &text, &[]);
    let stated = stated.map_err(|error| damaged(error.to_string()))?;
    let scenario = Scenario { rounds: manifest.rounds, ..stated.clone() };
    let is_whole = stated.to_toml() == text && stated.rounds >= manifest.rounds;
    if !is_whole || scenario.digest().to_string() != manifest.scenario_sha256 {
        return Err(damaged("it does not have the digest that manifest.json states".to_owned()));
    }
    Ok(scenario)
}
