//! A process of the bench.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use link::INTERRUPTED;
use record::copy_file;
use rustix::process::{Pid, Signal, kill_process};

use super::child_output::end_of;
use super::children::NotStarted;

/// Lines of a log that an error repeats, out of so many bytes at its end.
const LAST_LINES: usize = 5;
const LAST_BYTES: u64 = 16 << 10;

/// A process that writes to a log, and that does not outlive this value.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
    told: bool,
}

impl Child {
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Child::spawn(name, command, log)
    }

    /// As [`Child::start`], but what it reads and prints is in the caller's hands, and its complaints go to the log.
    pub(crate) fn start_talking(
        name: &str,
        mut command: Command,
        log: &Path,
    ) -> anyhow::Result<(Self, ChildStdin, ChildStdout)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(open(log)?);
        let mut child = Child::spawn(name, command, log)?;
        let (stdin, stdout) = (child.process.stdin.take(), child.process.stdout.take());
        Ok((child, stdin.context("no way to it")?, stdout.context("no way from it")?))
    }

    fn spawn(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let process = command.spawn().map_err(NotStarted::of(&command))?;
        Ok(Child { name: name.to_owned(), process, log: log.to_owned(), ended: None, told: false })
    }

    pub(crate) fn has_ended(&mut self) -> anyhow::Result<bool> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().with_context(|| format!("cannot watch {}", self.name))?;
        }
        Ok(self.ended.is_some())
    }

    /// Whether it has ended well.
    pub(crate) fn succeeded(&mut self) -> anyhow::Result<bool> {
        self.has_ended()?;
        Ok(self.ended.is_some_and(|status| status.success()))
    }

    /// Whether it has ended because it was asked to: Ctrl-C reaches all programs of a terminal, not only this one.
    pub(crate) fn was_interrupted(&mut self) -> anyhow::Result<bool> {
        self.has_ended()?;
        // By the signal itself, if it came before there was anybody to catch it.
        let asked = |status: ExitStatus| {
            status.code() == Some(INTERRUPTED.into())
                || [Signal::INT, Signal::TERM, Signal::HUP]
                    .map(|signal| Some(signal.as_raw()))
                    .contains(&status.signal())
        };
        Ok(self.ended.is_some_and(asked))
    }

    /// An error if it has ended badly, with its own last words.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if self.succeeded()? { Ok(()) } else { bail!("{}", self.last_words()) }
    }

    /// Its last words if it has ended badly, once.
    pub(crate) fn fresh_failure(&mut self) -> anyhow::Result<Option<String>> {
        let failed = !self.told && self.has_ended()? && !self.succeeded()?;
        self.told |= failed;
        Ok(failed.then(|| self.last_words()))
    }

    /// Asks it to stop, and insists after `patience`.
    pub(crate) fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        if !self.has_ended()? {
            // It may end in this very moment; then there is nobody to signal.
            let _ = self.signal(Signal::TERM);
        }
        let deadline = Instant::now() + patience;
        while !self.has_ended()? && Instant::now() < deadline {
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        ensure!(!self.has_ended()?, "{}", self.last_words());
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{} has no process id", self.name))?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    pub(crate) fn last_words(&self) -> String {
        let log = end_of(&self.log, LAST_BYTES);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        match self.ended {
            Some(status) if !last.is_empty() => format!("{} ended with {status}: {last}", self.name),
            Some(status) => format!("{} ended with {status} and said nothing", self.name),
            None => format!("{} is still running: {last}", self.name),
        }
    }
}

/// What is started again goes on in the log of the first.
fn open(log: &Path) -> anyhow::Result<File> {
    let open = OpenOptions::new().create(true).append(true).open(log);
    open.with_context(|| format!("cannot create {}", log.display()))
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Already gone is as good.
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// Copies a log, if there is one, to the file `to`.
pub(crate) fn keep_log(log: &Path, to: &Path) -> anyhow::Result<()> {
    if log.is_file() {
        copy_file(log, to)?;
    }
    Ok(())
}
