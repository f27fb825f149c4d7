//! The aggregator of a run, which may be killed and started again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use learning::data::ShardList;
use link::BrokerAddress;

use crate::benches::Task;
use crate::system::children;
use crate::system::wait_for;
use crate::system::{Child, keep_log};

/// All that the aggregator is started with, and its process.
#[derive(Debug)]
pub(crate) struct Aggregator {
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    /// `None` before it is started, and while a fault keeps it away.
    process: Option<Child>,
}

impl Aggregator {
    /// What every aggregator of a bench is started with; `folder` holds its scenario and the list of shards.
    pub(crate) fn command(program: &Path, folder: &Path, task: &Task, bench: &str) -> Command {
        let mut command = children::command(program);
        command.arg(folder.join("scenario.toml"));
        if task.scenario.dataset.on_devices().is_none() {
            command.arg("--shards").arg(folder.join(ShardList::FILE));
        }
        command.arg("--out").arg(&task.out).arg("--datasets").arg(&task.datasets).args(["--bench", bench]);
        // It runs on this machine, by the word of whoever has this program run the scenario.
        for program in task.scenario.defense_commands() {
            command.arg(format!("--allow-program={program}"));
        }
        command
    }

    /// The process that `command` starts, logging to `log`.
    pub(crate) fn new(command: &Command, log: PathBuf) -> Self {
        let arguments = command.get_args().map(ToOwned::to_owned).collect();
        Aggregator { program: command.get_program().into(), arguments, log, process: None }
    }

    /// Starts it, or starts it again.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let mut command = children::command(&self.program);
        command.args(&self.arguments);
        self.process = Some(Child::start("aggregator-node", command, &self.log)?);
        Ok(())
    }

    /// Waits until `broker` answers, which it may bring; false if it has ended before.
    pub(super) fn wait_for(&mut self, broker: &BrokerAddress) -> anyhow::Result<bool> {
        self.process.as_mut().map_or(Ok(false), |process| wait_for(broker, process))
    }

    /// Its process, while it has one.
    pub(super) fn process(&mut self) -> Option<&mut Child> {
        self.process.as_mut()
    }

    /// Ends it without a chance to tidy up.
    pub(super) fn kill(&mut self) {
        // Dropped, it is killed.
        self.process = None;
    }

    pub(super) fn keep_log(&self, to: &Path) -> anyhow::Result<()> {
        keep_log(&self.log, to)
    }
}
