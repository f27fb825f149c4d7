//! A run in progress: where it starts or goes on, and what of it is on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rim::nonce;
use shared::data::{Dataset, ShardEntry};
use shared::identity::{DeviceId, Digest, RunId};
use shared::models::Model;
use shared::parameters::{Layout, Parameters};
use shared::random::{Purpose, stream};
use shared::scenario::{ResultModel, Scenario};
use tracing::info;

use crate::machine::Start;
use crate::record::{
    AttackSummary, FORMAT, Manifest, RecordError, RoundRecord, RunDirectory, Summary, TensorShape,
};

/// A run and its directory.
#[derive(Debug)]
pub struct Run {
    directory: RunDirectory,
    scenario: Arc<Scenario>,
    layout: Arc<Layout>,
    /// The last recorded round and the global model after it.
    latest: (u32, Arc<[f32]>),
    /// Lowest testing error of the recorded rounds.
    best_error: f64,
    /// What those trained on whose updates they hold.
    trained_on: BTreeMap<DeviceId, ShardEntry>,
    checkpointed: u32,
    checkpoint_every: Duration,
    last_checkpoint: Instant,
    last_record: Instant,
}

impl Run {
    /// Begins a run of `scenario` in the directory `path`, or goes on with the one that is there.
    ///
    /// A checkpoint is written with a round if the last one is `checkpoint_every` ago: what is computed again after a
    /// crash ends in the same bytes, so this trades time for time only.
    ///
    /// # Errors
    /// [`RecordError`] if the directory holds something else, is damaged, or cannot be written.
    pub fn open(
        path: &Path,
        scenario: &Arc<Scenario>,
        bench: &str,
        model: &dyn Model,
        test: &Dataset,
        checkpoint_every: Duration,
    ) -> Result<Self, RecordError> {
        let layout = model.layout().clone();
        let manifest = Manifest {
            format: FORMAT,
            run: RunId(nonce()),
            scenario_sha256: scenario.digest().to_string(),
            seed: scenario.seed,
            bench: bench.to_owned(),
            created_unix: unix_time().as_secs(),
            versions: versions(),
            data: BTreeMap::from([(format!("{} test", scenario.dataset), test.digest().to_string())]),
            layout: TensorShape::list(&layout),
        };
        let mut directory = RunDirectory::create(path, &scenario.to_toml(), &manifest)?;
        let mut best_error = f64::INFINITY;
        let mut trained_on = BTreeMap::new();
        let latest = if let Some((round, parameters, records)) = directory.resume()? {
            best_error = errors(&records).fold(best_error, f64::min);
            trained_on =
                records.iter().flat_map(|record| &record.shards).map(|it| (it.device, *it)).collect();
            info!("going on after round {round} of {}", scenario.rounds);
            (round, parameters.into_values().into())
        } else {
            let mut random = stream(scenario.seed, Purpose::Weights, None, 0);
            (0, model.initial(&mut random).into_values().into())
        };
        let now = Instant::now();
        Ok(Run {
            checkpointed: latest.0,
            directory,
            scenario: scenario.clone(),
            layout,
            latest,
            best_error,
            trained_on,
            checkpoint_every,
            last_checkpoint: now,
            last_record: now,
        })
    }

    /// From where the round machine is to start, in a term of its own.
    ///
    /// # Errors
    /// [`RecordError`] if the term cannot be kept.
    pub fn start(&mut self) -> Result<Start, RecordError> {
        let term = self.directory.next_term(unix_time().as_millis() as u64)?;
        let (finished, global) = self.latest.clone();
        let run = self.directory.manifest().run;
        Ok(Start { run, term, finished, global, trained_on: self.trained_on.clone(), listed: None })
    }

    /// What it is a run of.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Whether every round is recorded.
    pub fn is_complete(&self) -> bool {
        self.latest.0 >= self.scenario.rounds
    }

    /// Writes a finished round down, with the time since the last one.
    ///
    /// # Errors
    /// [`RecordError`] if it cannot be written.
    pub fn record(&mut self, record: RoundRecord, global: Arc<[f32]>) -> Result<(), RecordError> {
        let now = Instant::now();
        let seconds = now.duration_since(self.last_record).as_secs_f64();
        self.last_record = now;
        let (round, error) = (record.round, record.test_error.unwrap_or(f64::INFINITY));
        self.directory.append(&RoundRecord { seconds, ..record })?;
        self.latest = (round, global);
        if error < self.best_error {
            self.best_error = error;
            if self.scenario.evaluation.model == ResultModel::Best {
                self.directory.keep_best(round, &self.parameters())?;
            }
        }
        if now.duration_since(self.last_checkpoint) >= self.checkpoint_every {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Makes sure that the run would go on from the last recorded round.
    ///
    /// # Errors
    /// [`RecordError`] if the checkpoint cannot be written.
    pub fn checkpoint(&mut self) -> Result<(), RecordError> {
        if self.latest.0 > self.checkpointed {
            self.directory.checkpoint(self.latest.0, &self.parameters())?;
            self.checkpointed = self.latest.0;
            self.last_checkpoint = Instant::now();
        }
        Ok(())
    }

    /// Ends the run: metrics, report and summary.
    ///
    /// # Errors
    /// [`RecordError`] if they cannot be written.
    pub fn finish(mut self) -> Result<Summary, RecordError> {
        self.checkpoint()?;
        let records = self.directory.records()?;
        let result = match self.scenario.evaluation.model {
            ResultModel::Last => None,
            ResultModel::Best => self.directory.best()?.map(|(_, parameters)| parameters),
        };
        let seconds: f64 = records.iter().map(|record| record.seconds).sum();
        let mut refused = BTreeMap::new();
        for (reason, count) in records.iter().flat_map(|record| &record.refused) {
            *refused.entry(*reason).or_default() += u64::from(*count);
        }
        let summary = Summary {
            name: self.scenario.name.clone(),
            seed: self.scenario.seed,
            bench: self.directory.manifest().bench.clone(),
            rounds: self.scenario.rounds,
            final_test_error: errors(&records).next_back(),
            best_test_error: errors(&records).reduce(f64::min),
            model_sha256: Digest::of(&result.unwrap_or_else(|| self.parameters()).to_le_bytes()).to_string(),
            seconds,
            rounds_per_second: if seconds > 0.0 { f64::from(self.scenario.rounds) / seconds } else { 0.0 },
            bytes_up: records.iter().map(|record| record.bytes_up).sum(),
            bytes_down: records.iter().map(|record| record.bytes_down).sum(),
            devices: self.scenario.fleet.devices,
            refused,
            attack: AttackSummary::of(&records),
        };
        self.directory.finish(&summary)?;
        Ok(summary)
    }

    fn parameters(&self) -> Parameters {
        Parameters::new(self.layout.clone(), self.latest.1.to_vec()).expect("the model's own dimension")
    }
}

/// The testing errors of the rounds that were evaluated.
fn errors(records: &[RoundRecord]) -> impl DoubleEndedIterator<Item = f64> + '_ {
    records.iter().filter_map(|record| record.test_error)
}

fn versions() -> BTreeMap<String, String> {
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let versions = [("outpost", env!("CARGO_PKG_VERSION").to_owned()), ("system", system)];
    versions.map(|(name, version)| (name.to_owned(), version)).into()
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
