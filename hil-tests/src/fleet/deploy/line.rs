//! The line to a device: one login for all that is asked of it in a run or a deployment.
//!
//! A login takes longer than a round, so a fault that had to log in first would come too late. The device also reports on the
//! line, unasked, when its client has ended. As long as the line is open, the device belongs to whoever opened it: see
//! [`Claim`].

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use super::claim::Claim;
use super::ssh::{NOT_CONNECTED, Ssh, SshError, last_words, mark, quoted};

/// How long an answer may take beyond what was asked for: a device may be busy with a card that is slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may still take once this program is to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether it is.
const POLL: Duration = Duration::from_millis(100);
/// Most that a device says on a line, in bytes; a whole run takes some hundreds.
const MOST: u64 = 1 << 20;
/// The number that opening has among what was asked for.
const OPENING: u64 = 0;

/// An open line.
#[derive(Debug)]
pub(crate) struct Line {
    ssh: Ssh,
    child: Child,
    stdin: ChildStdin,
    said: Receiver<LineOutput>,
    /// What each line of an answer begins with.
    mark: String,
    /// Numbers of what was asked for.
    asked: u64,
    /// What came while an answer was waited for.
    reports: Vec<DeviceReport>,
    /// What ssh itself has said.
    complaints: String,
}

/// What comes over the line.
#[derive(Debug)]
enum LineOutput {
    /// A line of the script's.
    Words(String),
    /// What ssh says.
    Complaint(String),
}

/// What a device says, with the number of what it answers to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DeviceReport {
    /// It is done.
    Done(u64),
    /// It cannot be done.
    Failed(u64, String),
    /// The client has ended well that was started or attached to then.
    Left(u64),
    /// It has ended badly, with these last words.
    Fell(u64, String),
    /// The line is dead.
    Closed(String),
}

impl Line {
    /// Opens the line to a device whose client `service` runs, without waiting for it. If `claim` cannot be had, that is
    /// the first of its reports, and the last.
    pub(crate) fn open(ssh: &Ssh, service: &str, claim: &Claim) -> anyhow::Result<Self> {
        let mark = mark();
        let words: Vec<&str> = [service].into_iter().chain(claim.words()).collect();
        let mut command = ssh.line_command(&mark, &words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(SshError::NoSsh)?;
        let no_pipe = "ssh has no pipe";
        let stdin = child.stdin.take().context(no_pipe)?;
        let (sender, said) = channel();
        listen(child.stderr.take().context(no_pipe)?, sender.clone(), LineOutput::Complaint);
        listen(child.stdout.take().context(no_pipe)?, sender, LineOutput::Words);
        let (reports, complaints) = (Vec::new(), String::new());
        Ok(Line { ssh: ssh.clone(), child, stdin, said, mark, asked: OPENING, reports, complaints })
    }

    /// As [`Line::open`], and waits until the device is claimed, or `stop` is set.
    pub(crate) fn open_now(
        ssh: &Ssh,
        service: &str,
        claim: &Claim,
        stop: Option<&AtomicBool>,
    ) -> anyhow::Result<Self> {
        let mut line = Line::open(ssh, service, claim)?;
        line.wait("the login", OPENING, Duration::ZERO, stop)?;
        Ok(line)
    }

    /// Asks for `action` without waiting, and gives its number.
    pub(crate) fn send(&mut self, action: &str, words: &[&str]) -> u64 {
        self.asked += 1;
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let line = format!("{} {action} {}\n", self.asked, words.join(" "));
        // If the line is dead, what it says next is that.
        let _ = self.stdin.write_all(line.as_bytes()).and_then(|()| self.stdin.flush());
        self.asked
    }

    /// Asks for `action`, which takes as long as `takes`, and waits until it is done, or `stop` is set. Gives its number.
    pub(crate) fn ask(
        &mut self,
        action: &str,
        words: &[&str],
        takes: Duration,
        stop: Option<&AtomicBool>,
    ) -> anyhow::Result<u64> {
        let number = self.send(action, words);
        self.wait(action, number, takes, stop)
    }

    fn wait(
        &mut self,
        action: &str,
        number: u64,
        takes: Duration,
        stop: Option<&AtomicBool>,
    ) -> anyhow::Result<u64> {
        let mut deadline = Instant::now() + takes + PATIENCE;
        let mut stopped = false;
        loop {
            if !stopped && stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                (stopped, deadline) = (true, deadline.min(Instant::now() + takes + GRACE));
            }
            if Instant::now() >= deadline {
                let waited = if stopped { GRACE } else { PATIENCE }.as_secs();
                let why = format!("nothing came within {waited} s{}", self.complaint());
                return Err(self.ssh.no_answer(action, why).into());
            }
            let said = match self.said.recv_timeout(POLL) {
                Ok(said) => said,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(self.closed().into()),
            };
            match self.read(said) {
                Some(DeviceReport::Done(of)) if of == number => return Ok(number),
                Some(DeviceReport::Failed(of, why)) if of == number && of != OPENING => {
                    bail!("{action} failed: {why}")
                }
                Some(DeviceReport::Failed(OPENING, why)) => return Err(anyhow!(why)),
                report => self.reports.extend(report),
            }
        }
    }

    /// Whether ssh is still there.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What has come since, without waiting.
    pub(crate) fn reports(&mut self) -> Vec<DeviceReport> {
        loop {
            match self.said.try_recv() {
                Ok(said) => {
                    let report = self.read(said);
                    self.reports.extend(report);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    let closed = self.closed().to_string();
                    self.reports.push(DeviceReport::Closed(closed));
                    break;
                }
            }
        }
        std::mem::take(&mut self.reports)
    }

    /// Gives the device free for others, and closes the line.
    pub(crate) fn let_go(mut self, claim: &Claim) {
        let at_once = AtomicBool::new(true);
        // One that does not answer is free a minute after the line has ended.
        let _ = self.ask("let-go", &[claim.token()], Duration::ZERO, Some(&at_once));
    }

    fn read(&mut self, said: LineOutput) -> Option<DeviceReport> {
        match said {
            LineOutput::Words(words) => {
                DeviceReport::read(words.strip_prefix(&self.mark)?.strip_prefix(' ')?)
            }
            LineOutput::Complaint(complaint) => {
                self.complaints += &complaint;
                self.complaints.push('\n');
                None
            }
        }
    }

    /// What ssh has said so far, for the end of an error.
    fn complaint(&self) -> String {
        if self.complaints.is_empty() { String::new() } else { format!(": {}", last_words(&self.complaints)) }
    }

    fn closed(&mut self) -> SshError {
        // Its outputs are closed, so that it is about to end; or else it said too much.
        let deadline = Instant::now() + Duration::from_secs(1);
        while self.is_alive() && Instant::now() < deadline {
            thread::sleep(POLL / 5);
        }
        match self.child.try_wait() {
            Ok(Some(status)) if status.code() == Some(NOT_CONNECTED) => {
                self.ssh.unreachable(last_words(&self.complaints))
            }
            _ => self.ssh.no_answer("the login", format!("it has ended{}", self.complaint())),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl DeviceReport {
    /// What a line says; `None` for what nobody has asked for.
    fn read(line: &str) -> Option<Self> {
        let (number, rest) = line.split_once(' ')?;
        let number = number.parse().ok()?;
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match (word, rest.split_once(' ').unwrap_or((rest, ""))) {
            ("ok", _) => Some(DeviceReport::Done(number)),
            ("failed", _) => Some(DeviceReport::Failed(number, last_words(rest))),
            ("ended", ("well", _)) => Some(DeviceReport::Left(number)),
            ("ended", ("badly", words)) => Some(DeviceReport::Fell(number, last_words(words))),
            _ => None,
        }
    }
}

/// Hands on what comes, line by line, until there is nothing more, or it was too much.
fn listen(from: impl Read + Send + 'static, to: Sender<LineOutput>, kind: fn(String) -> LineOutput) {
    thread::spawn(move || {
        let mut from = BufReader::new(from.take(MOST));
        for line in from.by_ref().split(b'\n') {
            let Ok(line) = line else { return };
            // Nobody listens any more: the line is given up.
            if to.send(kind(String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
        }
        if from.get_ref().limit() == 0 {
            let _ = to.send(LineOutput::Complaint(format!(
                "it said more than {} KiB, and is not heard any more",
                MOST >> 10
            )));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_is_read_and_nothing_else_believed() {
        for (line, report) in [
            ("3 ok", Some(DeviceReport::Done(3))),
            (
                "4 failed the client is not running/",
                Some(DeviceReport::Failed(4, "the client is not running/".into())),
            ),
            ("5 ended well", Some(DeviceReport::Left(5))),
            ("6 ended badly a\u{1b}[31m", Some(DeviceReport::Fell(6, "a?[31m".into()))),
            ("6 ended badly", Some(DeviceReport::Fell(6, "it said nothing".into()))),
            ("Welcome to device-000", None),
            ("ok", None),
            ("-1 ok", None),
            ("7 ended somehow", None),
            ("", None),
        ] {
            assert_eq!(DeviceReport::read(line), report, "{line:?}");
        }
    }
}
