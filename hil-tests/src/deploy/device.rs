//! One device's deployment.

use std::ffi::OsString;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use time::OffsetDateTime;

use super::architecture::Architecture;
use super::release::{self, ReleaseFile};
use super::ssh::{Ssh, last_words};
use crate::boards::Board;
use crate::fleet::Statuses;
use crate::inventory::{Device, Service};

/// Releases that stay on a device.
const KEPT: &str = "3";
/// Room that must be left beside the upload.
const SPARE_KIB: u64 = 4096;

/// What became of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs the release and is online.
    Deployed {
        /// The release.
        release: String,
        /// Files that were sent.
        uploaded: usize,
        /// Files that were there already.
        unchanged: usize,
    },
    /// The new release did not come up, and the earlier one is in use again.
    RolledBack {
        /// The earlier release.
        release: String,
        /// Whether it is online.
        online: bool,
        /// What was wrong with the new one.
        why: String,
    },
    /// It was left as it was, or without a release if it had none.
    Failed {
        /// The release in use, if that is known.
        release: Option<String>,
        /// What went wrong.
        why: String,
    },
    /// The deployment was interrupted before.
    NotBegun,
}

impl Outcome {
    /// Whether the device runs what was to be deployed.
    pub fn succeeded(&self) -> bool {
        matches!(self, Outcome::Deployed { .. })
    }

    pub(super) fn cells(&self) -> [String; 4] {
        let none = || "-".to_owned();
        match self {
            Outcome::Deployed { release, uploaded, unchanged } => {
                ["online".to_owned(), release.clone(), uploaded.to_string(), unchanged.to_string()]
            }
            Outcome::RolledBack { release, online, .. } => {
                let word = if *online { "rolled back" } else { "rolled back, offline" };
                [word.to_owned(), release.clone(), none(), none()]
            }
            Outcome::Failed { release, .. } => {
                ["failed".to_owned(), release.clone().unwrap_or_else(none), none(), none()]
            }
            Outcome::NotBegun => ["not begun".to_owned(), none(), none(), none()],
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Deployed { release, .. } => write!(f, "online with {release}"),
            Outcome::RolledBack { release, online: true, why } => {
                write!(f, "rolled back to {release}: {why}")
            }
            Outcome::RolledBack { release, why, .. } => {
                write!(f, "rolled back to {release}, which is not online either: {why}")
            }
            Outcome::Failed { why, .. } => f.write_str(why),
            Outcome::NotBegun => f.write_str("not begun"),
        }
    }
}

/// What a device says when it is looked at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look {
    machine: String,
    free_kib: u64,
    current: Option<String>,
    /// Name and digest of the files of the release in use.
    files: Vec<(String, String)>,
}

/// What one device's deployment needs.
pub(super) struct Deployment<'a> {
    device: &'a Device,
    architecture: Option<Architecture>,
    files: &'a [ReleaseFile],
    statuses: &'a Statuses,
    ssh: Ssh<'a>,
    wait: Duration,
    tell: &'a dyn Fn(&str),
}

impl<'a> Deployment<'a> {
    pub(super) fn new(
        device: &'a Device,
        architecture: Option<Architecture>,
        files: &'a [ReleaseFile],
        statuses: &'a Statuses,
        options: &'a [OsString],
        wait: Duration,
        tell: &'a dyn Fn(&str),
    ) -> Self {
        Deployment { device, architecture, files, statuses, ssh: Ssh::new(device, options), wait, tell }
    }

    pub(super) fn run(&self, stop: &AtomicBool) -> Outcome {
        let look = match self.look() {
            Ok(look) => look,
            Err(error) => return Outcome::Failed { release: None, why: format!("{error:#}") },
        };
        match self.upload(&look, stop) {
            Ok(Some((release, uploaded))) => self.switch(look.current, release, uploaded),
            Ok(None) => Outcome::NotBegun,
            Err(error) => Outcome::Failed { release: look.current, why: format!("{error:#}") },
        }
    }

    fn look(&self) -> anyhow::Result<Look> {
        let look = Look::parse(&self.ssh.run("look", &[])?).context("an answer that cannot be read")?;
        let machine = &look.machine;
        if let Some(board) = &self.device.board {
            let target = Board::find(board)?.target;
            let fits = Architecture::of_target(&target).is_none_or(|it| it.runs_on(machine));
            ensure!(
                fits,
                "it calls itself {machine}, but its board {board} is for {target}; correct the inventory"
            );
        }
        if let Some(architecture) = self.architecture {
            ensure!(
                architecture.runs_on(machine),
                "it calls itself {machine}, but the client is for {architecture}"
            );
        }
        Ok(look)
    }

    /// Makes sure that the release is there: its name, and how many files were sent. `None` if interrupted.
    fn upload(&self, look: &Look, stop: &AtomicBool) -> anyhow::Result<Option<(String, usize)>> {
        let is_there = |file: &&ReleaseFile| {
            look.files.iter().any(|(name, digest)| name == file.name && *digest == file.digest)
        };
        let (unchanged, changed): (Vec<&ReleaseFile>, Vec<&ReleaseFile>) =
            self.files.iter().partition(is_there);
        if let (Some(current), true) = (&look.current, changed.is_empty()) {
            return Ok(Some((current.clone(), 0)));
        }
        let bytes: u64 = changed.iter().map(|file| file.bytes.len() as u64).sum();
        let needed = bytes.div_ceil(1024) + SPARE_KIB;
        if look.free_kib < needed {
            let (root, free) = (&self.device.root, look.free_kib);
            bail!("{root} has {free} KiB left, and this needs {needed}; remove something there");
        }
        let release = release::name(self.files, OffsetDateTime::now_utc());
        let kept = unchanged.iter().map(|file| file.name);
        self.ssh.run("stage", &[release.as_str()].into_iter().chain(kept).collect::<Vec<_>>())?;
        for file in &changed {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            (self.tell)(&format!(
                "sending {}, {}",
                file.name,
                indicatif::BinaryBytes(file.bytes.len() as u64)
            ));
            let arguments = [release.as_str(), file.name, file.mode, &file.digest];
            self.ssh.run_with("put", &arguments, file.bytes.to_vec())?;
        }
        self.ssh.run("complete", &[&release])?;
        Ok(Some((release, changed.len())))
    }

    /// From the release in use to `release`, and back if it does not come up.
    fn switch(&self, earlier: Option<String>, release: String, uploaded: usize) -> Outcome {
        let why = match self.bring_up(&release) {
            Ok(()) => {
                if let Err(error) = self.ssh.run("prune", &[KEPT]) {
                    tracing::warn!("{}: old releases stay: {error}", self.device.id);
                }
                return Outcome::Deployed { release, uploaded, unchanged: self.files.len() - uploaded };
            }
            Err(error) => format!("{error:#}; its last words: {}", self.last_words()),
        };
        match earlier {
            Some(earlier) if earlier == release => Outcome::Failed { release: Some(release), why },
            Some(earlier) => {
                (self.tell)(&format!("going back to {earlier}"));
                let online = self.bring_up(&earlier).is_ok();
                let _ = self.ssh.run("discard", &[&release]);
                Outcome::RolledBack { release: earlier, online, why }
            }
            None => {
                // Nothing to go back to: a device without a release, as it was before.
                let stopped = self
                    .ssh
                    .run("stop", &[self.service()])
                    .and_then(|_| self.ssh.run("discard", &[&release]));
                match stopped {
                    Ok(_) => Outcome::Failed { release: None, why },
                    Err(error) => Outcome::Failed { release: Some(release), why: format!("{why}; {error}") },
                }
            }
        }
    }

    /// Puts a release to use, starts it, and waits until a new process of it is online.
    fn bring_up(&self, release: &str) -> anyhow::Result<()> {
        let device = self.device.id;
        let before = self.statuses.boots(device);
        self.ssh.run("activate", &[release])?;
        self.ssh.run("start", &[self.service()])?;
        (self.tell)("started; waiting for it at the broker");
        let online = self.statuses.wait_for_new(device, &before, self.wait);
        ensure!(online, "not online within {} s", self.wait.as_secs());
        Ok(())
    }

    fn last_words(&self) -> String {
        self.ssh.run("log", &[self.service()]).map_or_else(|error| error.to_string(), |log| last_words(&log))
    }

    fn service(&self) -> &'static str {
        match self.device.service {
            Service::Systemd => "systemd",
            Service::Process => "process",
        }
    }
}

impl Look {
    fn parse(text: &str) -> Option<Self> {
        let mut look = Look::default();
        for line in text.lines() {
            // What a login prints besides is passed over.
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["machine", machine] => (*machine).clone_into(&mut look.machine),
                ["free", free] => look.free_kib = free.parse().ok()?,
                ["current", release] => look.current = Some(plain(release)?),
                ["file", digest, name] => look.files.push(((*name).to_owned(), (*digest).to_owned())),
                _ => {}
            }
        }
        (!look.machine.is_empty()).then_some(look)
    }
}

/// The name of a release, which goes back into commands.
fn plain(release: &str) -> Option<String> {
    let plain = !release.is_empty() && release.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    plain.then(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_is_read_and_nothing_else_believed() {
        let said = "Welcome to device-000\nmachine aarch64\nfree 1000\ncurrent 20260101-000000-0a1b2c3d\n\
                    file 00ff client.toml\n";
        let look = Look {
            machine: "aarch64".to_owned(),
            free_kib: 1000,
            current: Some("20260101-000000-0a1b2c3d".to_owned()),
            files: vec![("client.toml".to_owned(), "00ff".to_owned())],
        };
        assert_eq!(Look::parse(said), Some(look));
        for hostile in ["", "free 1\n", "machine x\nfree many\n", "machine x\ncurrent ../../etc\n"] {
            assert_eq!(Look::parse(hostile), None, "{hostile:?}");
        }
    }
}
