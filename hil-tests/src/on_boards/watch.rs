//! Noticing that a client on another machine has ended, without asking all the time.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use shared::identity::DeviceId;

use crate::deploy::{NOT_CONNECTED, Ssh, last_words};
use crate::processes::Child;

/// How long it takes until a device is tried again that was out of reach.
const PAUSE: Duration = Duration::from_secs(3);
/// How long a device may take until it is back after its power was.
const BOOT: Duration = Duration::from_secs(300);
/// What the script says once it is on the device.
const THERE: &str = "watching";

/// A connection to a device that lasts as long as its client does. One that is lost is made again.
#[derive(Debug)]
pub(super) struct Watch {
    device: DeviceId,
    ssh: Ssh,
    service: &'static str,
    log: PathBuf,
    child: Option<Child>,
    try_at: Instant,
    /// Since when there is none.
    lost: Option<Instant>,
    /// The client is to be started if it is not running: the device has been switched on.
    revive: bool,
}

/// What is known of the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing else than that it is running.
    Running,
    /// It has ended well.
    Left,
    /// It has ended badly, with these last words, or is lost.
    Failed(String),
}

impl Watch {
    /// Watches the client of `device`. With `revive` it waits for the device, and for its client to be started.
    pub(super) fn new(
        device: DeviceId,
        ssh: &Ssh,
        service: &'static str,
        log: PathBuf,
        revive: bool,
    ) -> Self {
        let now = Instant::now();
        let lost = revive.then_some(now);
        Watch { device, ssh: ssh.clone(), service, log, child: None, try_at: now, lost, revive }
    }

    /// Looks, and never waits.
    pub(super) fn look(&mut self) -> anyhow::Result<Seen> {
        let Some(child) = &mut self.child else {
            if Instant::now() >= self.try_at {
                self.child = Some(self.connect()?);
            }
            return Ok(Seen::Running);
        };
        let ended = child.has_ended()?;
        let code = child.code();
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        if said.lines().any(|line| line == THERE) {
            if self.lost.take().is_some() {
                tracing::info!("{} is within reach", self.device);
            }
            self.revive = false;
        }
        if !ended {
            return Ok(Seen::Running);
        }
        self.child = None;
        let words = last_words(&said.lines().filter(|line| *line != THERE).collect::<Vec<_>>().join("\n"));
        match code {
            Some(0) => Ok(Seen::Left),
            Some(NOT_CONNECTED) => Ok(self.lose(&words)),
            _ => Ok(Seen::Failed(format!("the client of {} has ended: {words}", self.device))),
        }
    }

    fn lose(&mut self, words: &str) -> Seen {
        let device = self.device;
        if self.revive && self.lost.is_some_and(|since| since.elapsed() > BOOT) {
            return Seen::Failed(format!("{device} has not come back within {} s: {words}", BOOT.as_secs()));
        }
        if self.lost.is_none() {
            tracing::warn!("{device} is out of reach, and is tried again and again: {words}");
            self.lost = Some(Instant::now());
        }
        self.try_at = Instant::now() + PAUSE;
        Seen::Running
    }

    fn connect(&self) -> anyhow::Result<Child> {
        // What an earlier connection said is of no interest any more.
        let _ = fs::remove_file(&self.log);
        let mut words = vec![self.service];
        words.extend(self.revive.then_some("revive"));
        Child::start(&format!("ssh to {}", self.device), self.ssh.command("watch", &words), &self.log)
    }
}
