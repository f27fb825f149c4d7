//! Mosquitto as a process of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use link::BrokerAddress;
use tempfile::TempDir;

use crate::system::children;
use crate::system::find_program;
use crate::system::held_port::HeldPort;
use crate::system::{Child, reachable, wait_for};

/// How long it may take to write down what it keeps.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Mosquitto on a free port of this machine, that can be ended and started again on the same.
#[derive(Debug)]
pub struct Mosquitto {
    program: PathBuf,
    folder: TempDir,
    local: SocketAddr,
    process: Option<Child>,
    /// Its port, if this holds it.
    _port: Option<HeldPort>,
}

impl Mosquitto {
    /// Where it is installed, if it is.
    pub fn find() -> Option<PathBuf> {
        find_program(&["mosquitto"])
    }

    /// Starts one that keeps what is retained if it is asked to stop, and forgets it if it is killed.
    ///
    /// # Errors
    /// If it is not installed or does not answer.
    pub fn start() -> anyhow::Result<Self> {
        let port = HeldPort::local()?;
        let mosquitto = Self::start_at(port.address())?;
        Ok(Mosquitto { _port: Some(port), ..mosquitto })
    }

    /// The same, at this address of this machine.
    ///
    /// # Errors
    /// If it is not installed or does not answer.
    pub fn start_at(local: SocketAddr) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("outpost-broker-")?;
        let (port, ip, home) = (local.port(), local.ip(), folder.path().display());
        let config = format!(
            "listener {port} {ip}\nallow_anonymous true\npersistence true\npersistence_location {home}/\n"
        );
        Self::configured(folder, local, config)
    }

    /// Starts one with the configuration that `config` writes for a port; `folder` holds what that names.
    ///
    /// # Errors
    /// If it is not installed or does not answer.
    pub fn start_with(folder: TempDir, config: impl FnOnce(u16) -> String) -> anyhow::Result<Self> {
        let port = HeldPort::local()?;
        let config = config(port.address().port());
        let mosquitto = Self::configured(folder, port.address(), config)?;
        Ok(Mosquitto { _port: Some(port), ..mosquitto })
    }

    fn configured(folder: TempDir, local: SocketAddr, mut config: String) -> anyhow::Result<Self> {
        let program = Self::find().context("mosquitto is not installed")?;
        if rustix::process::geteuid().is_root() {
            // It would become a user who may not look into this folder.
            config.push_str("\nuser root\n");
        }
        fs::write(folder.path().join("mosquitto.conf"), config)?;
        let mut mosquitto = Mosquitto { program, folder, local, process: None, _port: None };
        mosquitto.start_again()?;
        Ok(mosquitto)
    }

    /// Starts it again on the same port.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let mut command = children::command(&self.program);
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        let child = Child::start("mosquitto", command, &self.folder.path().join("mosquitto.log"))?;
        let address = self.address();
        let child = self.process.insert(child);
        ensure!(wait_for(&address, child)?, "{}", child.last_words());
        Ok(())
    }

    /// Asks it to stop, and waits until it has written down what it keeps.
    ///
    /// # Errors
    /// If it does not stop.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.process.take() else { return Ok(()) };
        child.stop(PATIENCE)?;
        ensure!(child.has_ended()?, "mosquitto does not stop");
        Ok(())
    }

    /// Kills it: what it has not written down is lost.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Where this machine reaches it.
    pub fn address(&self) -> BrokerAddress {
        SocketAddr::from((reachable(self.local.ip()), self.local.port())).into()
    }
}
