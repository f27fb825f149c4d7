//! A client that is a process of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use link::BrokerAddress;
use rustix::process::Signal;
use wire::identity::DeviceId;

use super::client::ClientProgram;
use crate::faults::{Host, Surroundings};
use crate::system::{Child, keep_log};

/// The host of a client that is a process of this machine, emulated or not.
#[derive(Debug)]
pub(crate) struct ProcessHost {
    device: DeviceId,
    program: ClientProgram,
    config: PathBuf,
    broker: BrokerAddress,
    log: PathBuf,
    /// `None` before it is started, and while a fault keeps it away.
    process: Option<Child>,
    /// A second client of the same name, which is to notice that and leave.
    twin: Option<Child>,
}

impl ProcessHost {
    /// A host for the client of `device`, which is started with the file `config` and goes to `broker`.
    pub(crate) fn new(
        device: DeviceId,
        program: ClientProgram,
        config: &Path,
        broker: BrokerAddress,
        log: &Path,
    ) -> Self {
        ProcessHost {
            device,
            program,
            config: config.to_owned(),
            broker,
            log: log.to_owned(),
            process: None,
            twin: None,
        }
    }

    fn launch(&self, name: &str, surroundings: &Surroundings) -> anyhow::Result<Child> {
        let mut command = self.program.command();
        command.arg("--config").arg(&self.config).args(["--broker", &self.broker.to_string()]);
        // A client for itself, as on a board of one core: they share this machine's cores already.
        command.env("RAYON_NUM_THREADS", "1").env("CANDLE_NUM_THREADS", "1");
        Child::start(name, surroundings.around(command), &self.log)
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process.as_mut();
        process.with_context(|| format!("{} is not running", self.device))?.signal(signal)
    }

    fn children(&mut self) -> impl Iterator<Item = &mut Child> {
        self.process.iter_mut().chain(self.twin.as_mut())
    }
}

impl Host for ProcessHost {
    fn device(&self) -> DeviceId {
        self.device
    }

    fn start(&mut self, surroundings: &Surroundings) -> anyhow::Result<()> {
        self.process = Some(self.launch(&self.device.to_string(), surroundings)?);
        Ok(())
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.process = None;
        Ok(())
    }

    fn freeze(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    fn thaw(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn start_twin(&mut self) -> anyhow::Result<()> {
        let name = format!("{}, the second", self.device);
        self.twin = Some(self.launch(&name, &Surroundings::default())?);
        Ok(())
    }

    fn check_twin_has_left(&mut self) -> anyhow::Result<()> {
        let twin = self.twin.as_mut();
        let twin = twin.with_context(|| format!("{} has no second client", self.device))?;
        ensure!(twin.has_ended()? && !twin.succeeded()?, "it has not left: {}", twin.last_words());
        Ok(())
    }

    fn has_left(&mut self) -> anyhow::Result<bool> {
        for child in self.children() {
            if !child.has_ended()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn fresh_failure(&mut self) -> anyhow::Result<Option<String>> {
        for child in self.children() {
            if let Some(failure) = child.fresh_failure()? {
                return Ok(Some(failure));
            }
        }
        Ok(None)
    }

    fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        let stopped = self.children().try_for_each(|child| child.stop(patience));
        // Dropped, they are killed.
        (self.process, self.twin) = (None, None);
        stopped
    }

    fn keep_log(&mut self, to: &Path) -> anyhow::Result<()> {
        keep_log(&self.log, to)
    }
}
