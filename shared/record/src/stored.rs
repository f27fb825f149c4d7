//! Reading a run from its directory.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use learning::parameters::Layout;
use scenario::catalogue::Catalogue;
use scenario::{ResultModel, Scenario};

use super::devices_file::DEVICES;
use super::files::{copy_file, parse, read, read_if_there, refuse_no_file};
use super::lock::{LOCK, Lock, WRITER};
use super::rounds_file::{Recorded, recorded_up_to};
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

/// What a run has come to by its checkpoint.
#[derive(Debug)]
pub(super) struct SoFar {
    pub(super) checkpoint: Checkpoint,
    pub(super) recorded: Recorded,
    /// The model of lowest testing error, if the scenario asks for it and there has been an evaluation.
    pub(super) best: Option<Checkpoint>,
}

impl SoFar {
    fn summary(&self, run: &StoredRun) -> Summary {
        let result = self.best.as_ref().unwrap_or(&self.checkpoint);
        let (records, bench) = (&self.recorded.records, &run.manifest.bench);
        Summary::of(&run.scenario, bench, records, &result.parameters)
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
        if summary.rounds != self.scenario.rounds || !summary.agrees_with(&parse(&place, &json)?) {
            return Err(RecordError::damaged(&place, "it does not say what the rounds say"));
        }
        self.check_aggregated(&so_far.recorded.records)?;
        Ok(Some(summary))
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
        Ok(self.checkpointed()?.recorded.records)
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
            records: so_far.recorded.records,
            scenario: self.scenario.clone(),
            devices: Devices::load(&self.path)?,
        })
    }

    /// The checkpoint and the rounds up to it.
    fn checkpointed(&self) -> Result<SoFar, RecordError> {
        let (run, checkpoint, rounds) = (self.manifest.run, self.file(CHECKPOINT), self.file(ROUNDS));
        let found = Checkpoint::read(&checkpoint, &self.layout, run)?;
        let found = found.ok_or_else(|| RecordError::Missing { path: checkpoint.clone() })?;
        if found.remembered.stages.len() > self.scenario.defense.len() {
            let what = "it keeps something of more stages than the scenario has";
            return Err(RecordError::damaged(&checkpoint, what));
        }
        let recorded = recorded_up_to(&rounds, &read(&rounds)?, run, found.round)?;
        if recorded.chain.to_string() != found.rounds {
            let what = format!(
                "its lines up to round {} are not those that the checkpoint was written after",
                found.round
            );
            return Err(RecordError::damaged(&rounds, what));
        }
        Ok(SoFar { checkpoint: found, recorded, best: None })
    }

    /// The checkpoint, the rounds up to it, and the model of lowest testing error if the scenario asks for it.
    pub(super) fn so_far(&self) -> Result<SoFar, RecordError> {
        let mut so_far = self.checkpointed()?;
        if self.scenario.evaluation.model == ResultModel::Best {
            so_far.best = self.best(&so_far.checkpoint, &so_far.recorded.records)?;
        }
        Ok(so_far)
    }

    fn best(
        &self,
        checkpoint: &Checkpoint,
        records: &[RoundRecord],
    ) -> Result<Option<Checkpoint>, RecordError> {
        let place = self.file(BEST);
        let Some(lowest) = lowest_error(records) else { return Ok(None) };
        let found = Checkpoint::read(&place, &self.layout, self.manifest.run)?;
        let round = found.as_ref().map(|found| found.round);
        if round == Some(lowest) {
            return Ok(found);
        }
        // Killed between the two: the checkpoint is written first, and is of the same round.
        let before = lowest_error(&records[..lowest as usize - 1]);
        if lowest == checkpoint.round && round == before && !self.is_summed_up() {
            return Ok(Some(checkpoint.clone()));
        }
        Err(match round {
            None => RecordError::Missing { path: place },
            Some(round) => RecordError::damaged(
                &place,
                format!("it is of round {round}, but the lowest testing error is that of round {lowest}"),
            ),
        })
    }
}

/// The first round of lowest testing error.
fn lowest_error(records: &[RoundRecord]) -> Option<u32> {
    let evaluated = records.iter().filter_map(|record| Some((record.round, record.test_error?)));
    let lowest = evaluated.reduce(|lowest, next| if next.1 < lowest.1 { next } else { lowest });
    lowest.map(|(round, _)| round)
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
