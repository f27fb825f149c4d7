//! One device's deployment.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::ensure;

use super::claim::Claim;
use super::line::Line;
use super::placing::{Survey, place};
use super::release::Release;
use super::ssh::{Ssh, SshError, last_words};
use crate::fleet::inventory::Device;
use crate::fleet::status::Statuses;

/// Releases that stay on a device.
const KEPT: &str = "3";

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
    /// It runs the release and is online, but its own data are not those of the scenario, or there are none.
    Unfit {
        /// The release.
        release: String,
        /// What it says of that.
        why: String,
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
            Outcome::Unfit { release, .. } => {
                ["online, data do not fit".to_owned(), release.clone(), none(), none()]
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
            Outcome::Unfit { release, why } => {
                write!(f, "online with {release}, but it takes no part, for its data do not fit: {why}")
            }
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

/// What one device's deployment needs.
pub(super) struct Deployment<'a> {
    pub(super) device: &'a Device,
    pub(super) ssh: Ssh,
    pub(super) claim: &'a Claim,
    pub(super) release: &'a Release,
    pub(super) statuses: &'a Statuses,
    pub(super) wait: Duration,
    pub(super) tell: &'a dyn Fn(&str),
}

impl Deployment<'_> {
    pub(super) fn run(&self, stop: &AtomicBool) -> Outcome {
        let line = match Line::open_now(&self.ssh, self.service(), self.claim, Some(stop)) {
            Ok(line) => line,
            Err(error) => return Outcome::Failed { release: None, why: format!("{error:#}") },
        };
        let outcome = self.deploy(stop);
        line.let_go(self.claim);
        outcome
    }

    fn deploy(&self, stop: &AtomicBool) -> Outcome {
        let survey = match Survey::at(self.device, &self.ssh, self.release, stop) {
            Ok(survey) => survey,
            Err(error) => return Outcome::Failed { release: None, why: format!("{error:#}") },
        };
        match place(self.device, &self.ssh, self.release, &survey, stop, self.tell) {
            Ok(Some((release, uploaded))) => self.switch(survey.current, release, uploaded),
            Ok(None) => Outcome::NotBegun,
            Err(error) => Outcome::Failed { release: survey.current, why: format!("{error:#}") },
        }
    }

    /// From the release in use to `release`, and back if it does not come up.
    fn switch(&self, earlier: Option<String>, release: String, uploaded: usize) -> Outcome {
        let why = match self.bring_up(&release) {
            Ok(()) => {
                if let Err(error) = self.act("prune", &[KEPT]) {
                    tracing::warn!("{}: old releases stay: {error}", self.device.id);
                }
                if let Some(why) = self.statuses.unfit(self.device.id) {
                    return Outcome::Unfit { release, why };
                }
                return Outcome::Deployed {
                    release,
                    uploaded,
                    unchanged: self.release.files.len() - uploaded,
                };
            }
            // Nothing can be asked of it any more.
            Err(error) if error.downcast_ref().is_some_and(SshError::is_of_absence) => {
                return Outcome::Failed { release: None, why: format!("{error:#}") };
            }
            Err(error) => format!("{error:#}; its last words: {}", self.last_words()),
        };
        match earlier {
            Some(earlier) if earlier == release => Outcome::Failed { release: Some(release), why },
            Some(earlier) => {
                (self.tell)(&format!("going back to {earlier}"));
                let online = self.bring_up(&earlier).is_ok();
                let _ = self.act("discard", &[&release]);
                Outcome::RolledBack { release: earlier, online, why }
            }
            None => {
                // Nothing to go back to: a device without a release, as it was before.
                let stopped =
                    self.act("stop", &[self.service()]).and_then(|_| self.act("discard", &[&release]));
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
        self.act("activate", &[release])?;
        self.act("start", &[self.service()])?;
        (self.tell)("started; waiting for it at the broker");
        let online = self.statuses.wait_for_new(device, &before, self.wait);
        ensure!(online, "not online within {} s", self.wait.as_secs());
        Ok(())
    }

    fn last_words(&self) -> String {
        self.act("last-words", &[self.service()])
            .map_or_else(|error| error.to_string(), |words| last_words(&words))
    }

    /// Has something done that leaves the device between two releases, and is not interrupted.
    fn act(&self, action: &str, arguments: &[&str]) -> Result<String, SshError> {
        self.ssh.run(action, arguments, &AtomicBool::new(false))
    }

    fn service(&self) -> &'static str {
        self.device.service.name()
    }
}
