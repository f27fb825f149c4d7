//! A run in progress: where it starts or resumes, and what of it is on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use learning::data::ShardEntry;
use learning::models::Model;
use learning::parameters::{Layout, Parameters};
use learning::random::{Purpose, stream};
use link::{random_id, unix_time};
use record::{
    Checkpoint, Devices, FORMAT, Manifest, RecordError, RoundRecord, RunDirectory, StoredRun, Summary,
    TensorShape,
};
use scenario::remembered::Remembered;
use scenario::{ResultModel, Scenario};
use tracing::{info, warn};
use wire::Hardware;
use wire::identity::{DeviceId, Digest, RunId};

use crate::machine::Start;

/// A run and its directory.
#[derive(Debug)]
pub struct Run {
    directory: RunDirectory,
    scenario: Arc<Scenario>,
    layout: Arc<Layout>,
    /// The last recorded round and the global model after it.
    latest: (u32, Arc<[f32]>),
    /// What is kept for later rounds.
    remembered: Arc<Remembered>,
    /// Lowest testing error of the recorded rounds.
    best_error: f64,
    /// What those trained on whose updates they hold.
    trained_on: BTreeMap<DeviceId, ShardEntry>,
    checkpointed: u32,
    checkpoint_every: Duration,
    last_checkpoint: Instant,
    last_record: Instant,
    /// What the devices are, and whether that has changed since it was written.
    devices: Devices,
    news_of_devices: bool,
}

/// What there is to do.
#[derive(Debug)]
pub enum Opened {
    /// Nothing: every round is there already.
    Finished(Box<Summary>),
    /// The rounds that are not there yet.
    Unfinished(Box<Run>),
}

impl Run {
    /// Begins a run in the directory `path` of a `model` under `scenario`, or goes on with the one that is there. `made_of`
    /// says of what: [`manifest`].
    ///
    /// A checkpoint is written with a round if the last one is `checkpoint_every` ago: what is computed again after a
    /// crash ends in the same bytes, so this trades time for time only.
    ///
    /// # Errors
    /// [`RecordError`] if the directory holds something else, lacks something, is damaged, or cannot be written; and if
    /// its run is over and came to nothing.
    pub fn open(
        path: &Path,
        scenario: &Arc<Scenario>,
        model: &dyn Model,
        made_of: &Manifest,
        checkpoint_every: Duration,
    ) -> Result<Opened, RecordError> {
        if let Some(summary) = finished(path, scenario, made_of)? {
            return Ok(Opened::Finished(summary.into()));
        }
        let initial = || model.initial(&mut stream(scenario.seed, Purpose::Weights, None, 0));
        let mut directory = RunDirectory::create(path, scenario, made_of, initial)?;
        let (Checkpoint { round, parameters, remembered, .. }, records) = directory.resume()?;
        if round > 0 {
            info!("going on after round {round} of {}", scenario.rounds);
            for other in directory.stored().manifest().other_versions(made_of) {
                warn!("the run goes on with another program than it was begun with: {other}");
            }
        }
        let devices = Devices::load(path)?;
        let now = Instant::now();
        let run = Run {
            checkpointed: round,
            directory,
            scenario: scenario.clone(),
            layout: parameters.layout().clone(),
            best_error: records.iter().filter_map(|record| record.test_error).fold(f64::INFINITY, f64::min),
            trained_on: records.iter().flat_map(|record| &record.shards).map(|it| (it.device, *it)).collect(),
            latest: (round, parameters.into_values().into()),
            remembered,
            checkpoint_every,
            last_checkpoint: now,
            last_record: now,
            devices,
            news_of_devices: false,
        };
        if round < scenario.rounds {
            Ok(Opened::Unfinished(run.into()))
        } else {
            Ok(Opened::Finished(run.finish()?.into()))
        }
    }

    /// Whether every round is recorded.
    pub fn is_complete(&self) -> bool {
        self.latest.0 >= self.scenario.rounds
    }

    /// From where the round machine is to start, in a term of its own.
    ///
    /// # Errors
    /// [`RecordError`] if the term cannot be kept.
    pub fn start(&mut self) -> Result<Start, RecordError> {
        let term = self.directory.next_term(unix_time().as_millis() as u64)?;
        let (finished, global) = self.latest.clone();
        let run = self.directory.stored().manifest().run;
        let (remembered, trained_on) = (self.remembered.clone(), self.trained_on.clone());
        Ok(Start { run, term, finished, global, remembered, trained_on, listed: None })
    }

    /// What it is a run of.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Nobody waits for `devices` at this start.
    ///
    /// # Errors
    /// [`RecordError`] if it cannot be written.
    pub fn leave_out(&mut self, devices: &[DeviceId]) -> Result<(), RecordError> {
        self.news_of_devices |= self.devices.leave_out(devices);
        self.save_devices()
    }

    /// What `device` says that it is; written down with the next round.
    pub fn describe(&mut self, device: DeviceId, version: &str, hardware: &Hardware) {
        self.news_of_devices |= self.devices.describe(device, self.latest.0 + 1, version, hardware);
    }

    fn save_devices(&mut self) -> Result<(), RecordError> {
        if std::mem::take(&mut self.news_of_devices) {
            self.devices.save(self.directory.stored().path())
        } else {
            Ok(())
        }
    }

    /// Writes a finished round down, with the time since the last one; `global` is the model after it, and `remembered` what
    /// is kept for later rounds.
    ///
    /// # Errors
    /// [`RecordError`] if it cannot be written.
    pub fn record(
        &mut self,
        mut record: RoundRecord,
        global: Arc<[f32]>,
        remembered: Arc<Remembered>,
    ) -> Result<(), RecordError> {
        self.save_devices()?;
        let now = Instant::now();
        let seconds = now.duration_since(self.last_record).as_secs_f64();
        self.last_record = now;
        let (round, error) = (record.round, record.test_error.unwrap_or(f64::INFINITY));
        record.seconds = seconds;
        if round < self.scenario.rounds {
            // That of every evaluation would outgrow all else that is recorded.
            record.confusion.clear();
        }
        self.directory.append(&record)?;
        (self.latest, self.remembered) = ((round, global), remembered);
        let is_best = error < self.best_error;
        if is_best {
            self.best_error = error;
        }
        let keep = is_best && self.scenario.evaluation.model == ResultModel::Best;
        if keep || now.duration_since(self.last_checkpoint) >= self.checkpoint_every {
            self.checkpoint()?;
        }
        if keep {
            // After the checkpoint, from which it is had if this is not reached.
            self.directory.keep_best(round, &self.parameters(), &self.remembered)?;
        }
        Ok(())
    }

    /// Makes sure that the run would go on from the last recorded round.
    ///
    /// # Errors
    /// [`RecordError`] if the checkpoint cannot be written.
    pub fn checkpoint(&mut self) -> Result<(), RecordError> {
        if self.latest.0 > self.checkpointed {
            self.directory.checkpoint(self.latest.0, &self.parameters(), &self.remembered)?;
            self.checkpointed = self.latest.0;
            self.last_checkpoint = Instant::now();
        }
        Ok(())
    }

    /// Ends the run: metrics, report and summary.
    ///
    /// # Errors
    /// [`RecordError`] if they cannot be written, or the run came to nothing.
    pub fn finish(mut self) -> Result<Summary, RecordError> {
        self.checkpoint()?;
        self.directory.finish()
    }

    fn parameters(&self) -> Parameters {
        Parameters::new(self.layout.clone(), self.latest.1.to_vec()).expect("the model's own dimension")
    }
}

/// What the finished run of `scenario` in the directory `path` came to; `None` if there is none, or one that has fewer
/// rounds yet. Nothing is written, and everything that is there is held against its digests and against `made_of`.
///
/// # Errors
/// [`RecordError`] if the directory holds something else, lacks something, is damaged or in use, or the run came to nothing.
pub fn finished(
    path: &Path,
    scenario: &Scenario,
    made_of: &Manifest,
) -> Result<Option<Summary>, RecordError> {
    if !StoredRun::exists(path) {
        return Ok(None);
    }
    let stored = StoredRun::open(path, &scenario.catalogue)?;
    stored.check(scenario, made_of)?;
    if !stored.is_summed_up() {
        stored.check_free()?;
    }
    let summary = stored.finished();
    if stored.scenario().rounds < scenario.rounds {
        return if let Err(RecordError::NothingAggregated { .. }) = summary {
            Ok(None)
        } else {
            summary.map(|_| None)
        };
    }
    if !stored.is_complete() && matches!(&summary, Ok(Some(_)) | Err(RecordError::NothingAggregated { .. })) {
        warn!(
            "{}: metrics.csv or report.html is missing; both are written again from the rounds",
            path.display()
        );
        return Ok(None);
    }
    summary
}

/// What a run of `scenario` on `bench` is made of: its `model`, and `data` by digest ([`data_digests`]).
pub fn manifest(
    scenario: &Scenario,
    bench: &str,
    model: &dyn Model,
    data: BTreeMap<String, String>,
) -> Manifest {
    Manifest {
        format: FORMAT,
        run: RunId(random_id()),
        scenario_sha256: scenario.digest().to_string(),
        rounds: scenario.rounds,
        seed: scenario.seed,
        bench: bench.to_owned(),
        created_unix: unix_time().as_secs(),
        versions: versions(),
        extensions: scenario.extensions(),
        data,
        shards_sha256: None,
        layout: TensorShape::list(model.layout()),
    }
}

/// The digests of the data of a run, as its manifest has them: of its `test` part, and where they are known of what is
/// `training` data and of the `whole` data set.
pub fn data_digests(
    dataset: &str,
    parts: impl IntoIterator<Item = (&'static str, Digest)>,
) -> BTreeMap<String, String> {
    parts.into_iter().map(|(part, digest)| (format!("{dataset} {part}"), digest.to_string())).collect()
}

fn versions() -> BTreeMap<String, String> {
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let versions = [
        ("outpost", env!("CARGO_PKG_VERSION")),
        ("commit", env!("OUTPOST_COMMIT")),
        ("compiler", env!("OUTPOST_COMPILER")),
        ("system", &system),
    ];
    versions.map(|(name, version)| (name.to_owned(), version.to_owned())).into()
}
