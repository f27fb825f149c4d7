//! Mosquitto as a process of its own.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rim::BrokerAddress;
use tempfile::TempDir;

use crate::processes::child::Child;
use crate::processes::{free_port, local_broker};

/// How long it may take to answer, and to write down what it keeps.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Mosquitto on a free port of this machine, that can be ended and started again on the same.
#[derive(Debug)]
pub struct Mosquitto {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Mosquitto {
    /// Where it is installed, if it is.
    pub fn find() -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        // Debian keeps it where only root looks.
        let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        folders.map(|folder| folder.join("mosquitto")).find(|path| path.is_file())
    }

    /// Starts one that keeps what is retained if it is asked to stop, and forgets it if it is killed.
    ///
    /// # Errors
    /// If it is not installed or does not answer.
    pub fn start() -> anyhow::Result<Self> {
        let program = Self::find().context("mosquitto is not installed")?;
        let (folder, port) = (TempDir::with_prefix("outpost-broker-")?, free_port()?);
        let home = folder.path().display();
        // Started by root, it would otherwise become a user that may not write here.
        let user = if rustix::process::geteuid().is_root() { "user root\n" } else { "" };
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\n{user}persistence true\npersistence_location {home}/\n"
        );
        fs::write(folder.path().join("mosquitto.conf"), config)?;
        let mut mosquitto = Mosquitto { program, folder, port, process: None };
        mosquitto.start_again()?;
        Ok(mosquitto)
    }

    /// Starts it again on the same port.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        let child = Child::start("mosquitto", command, &self.folder.path().join("mosquitto.log"))?;
        let child = self.process.insert(child);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            ensure!(!child.has_ended()?, "{}", child.last_words());
            ensure!(Instant::now() < deadline, "mosquitto does not answer");
            sleep(Duration::from_millis(20));
        }
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

    /// Where it listens.
    pub fn address(&self) -> BrokerAddress {
        local_broker(self.port)
    }
}
