//! The benches: where a scenario runs. This file has what all of them share.
//!
//! # Layout
//! Each knows those before it, and none after it.
//! - [`software`]: the same agents and the same round machine in one process, over an in-memory link with virtual
//!   time and seeded faults.
//! - [`batched`]: a whole round as a few operations on tensors, on a GPU or on the processors.
//! - [`processes`]: one aggregator process and one client process for each device, over MQTT.
//! - [`emulated`]: the process bench with clients for other processors, under emulation.
//! - [`emulated_board`]: boards under QEMU that boot a real kernel.
//! - [`boards`]: the devices of an inventory: processes of this machine, and boards over ssh.

pub mod batched;
pub mod boards;
pub mod emulated;
pub mod emulated_board;
pub mod processes;
pub mod software;
#[cfg(test)]
mod toys;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aggregator_node::run::{self, Opened, Run};
use record::{Manifest, RoundRecord, Summary};
use scenario::{Scenario, StartError, StartingModel};
use tracing::warn;

use crate::data::FleetData;
use crate::terminal::progress::Progress;

/// How much computing may be lost to a crash, where computing is all there is. What is computed again ends in the same
/// bytes.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);

/// A place where scenarios run. The same scenario ends in the same model on every bench of one architecture, but for
/// [`Batched`](crate::benches::batched::Batched), which rounds otherwise.
pub trait Bench {
    /// The name on the command line and in records.
    fn name(&self) -> &'static str;

    /// Runs `task` to its end, or goes on with it where an earlier start was interrupted. `None` if `watch` asked to
    /// stop before the end.
    ///
    /// # Errors
    /// If the run cannot go on; what is recorded of it stays.
    fn run(&self, task: &Task, watch: &Watch<'_>) -> anyhow::Result<Option<Summary>>;
}

impl dyn Bench + '_ {
    /// Runs `task`, called `label`, in sight of who waits. `None` if `stop` was set before the end.
    ///
    /// # Errors
    /// As [`Bench::run`].
    pub fn run_in_sight(
        &self,
        label: &str,
        task: &Task,
        stop: &AtomicBool,
    ) -> anyhow::Result<Option<Summary>> {
        let progress = Progress::new(label, task.scenario.rounds);
        let on_round = |record: &_| progress.round(record);
        let summary = self.run(task, &Watch { on_round: &on_round, stop })?;
        progress.finish();
        Ok(summary)
    }
}

/// A scenario to run.
#[derive(Clone, Debug)]
pub struct Task {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Its data.
    pub data: FleetData,
    /// Folder that holds the data sets.
    pub datasets: PathBuf,
    /// The run's directory.
    pub out: PathBuf,
}

impl Task {
    /// What came of it on `bench`, if all its rounds are there already. What is there of them is held against its digests,
    /// and against the scenario, the bench and the data of this task.
    ///
    /// # Errors
    /// If the directory holds something else, lacks something or is damaged, or its run came to nothing.
    pub fn finished(&self, bench: &str) -> anyhow::Result<Option<Summary>> {
        let made_of = self.made_of(bench, &self.start()?);
        Ok(run::finished(&self.out, &self.scenario, &made_of)?)
    }

    /// Begins its run on `bench`, or goes on with it.
    pub(crate) fn open(&self, bench: &str, start: &StartingModel) -> anyhow::Result<Opened> {
        start.notes.iter().for_each(|note| warn!("{note}"));
        let made_of = self.made_of(bench, start);
        Ok(Run::open(&self.out, &self.scenario, start.model.as_ref(), &made_of, CHECKPOINT_EVERY)?)
    }

    /// The model that it begins with.
    pub(crate) fn start(&self) -> Result<StartingModel, StartError> {
        let test = &self.data.test;
        self.scenario.starting_model(test.shape(), test.classes(), &self.datasets)
    }

    fn made_of(&self, bench: &str, start: &StartingModel) -> Manifest {
        let dataset = self.scenario.dataset.name();
        let mut data = self.data.named_digests(dataset);
        data.extend(run::data_digests(dataset, start.weights.map(|digest| ("weights", digest))));
        run::manifest(&self.scenario, bench, start.model.as_ref(), data)
    }
}

/// How a run is watched and stopped.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Called with every finished round.
    pub on_round: &'a (dyn Fn(&RoundRecord) + Sync),
    /// Set when the run is to stop.
    pub stop: &'a AtomicBool,
}

impl Watch<'_> {
    /// Whether the run is to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
