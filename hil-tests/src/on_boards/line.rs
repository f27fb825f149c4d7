//! The line to a device: one login for all that the bench asks of it in a run.
//!
//! A login takes longer than a round, so that a fault that had to log in first would come too late. The device also
//! says on the line when its client has ended, without being asked.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};

use crate::deploy::{Ssh, last_words, quoted};

/// How long an answer may take beyond what was asked for: a device may be busy with a card that is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open line.
#[derive(Debug)]
pub(super) struct Line {
    ssh: Ssh,
    child: Child,
    stdin: ChildStdin,
    said: Receiver<Said>,
    /// Numbers of what was asked for.
    asked: u64,
    /// What came while an answer was waited for.
    news: Vec<News>,
    /// What ssh itself has said.
    complaints: String,
}

/// What comes over the line.
#[derive(Debug)]
enum Said {
    /// A line of the script's.
    Words(String),
    /// What ssh says.
    Complaint(String),
}

/// What a device says, with the number of what it answers to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
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
    /// Opens the line to a device whose client `service` runs, without waiting for it.
    pub(super) fn open(ssh: &Ssh, service: &str) -> anyhow::Result<Self> {
        let mut command = ssh.command("line", &[service]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start ssh; install the OpenSSH client")?;
        let no_pipe = "ssh has no pipe";
        let stdin = child.stdin.take().context(no_pipe)?;
        let (sender, said) = channel();
        listen(child.stderr.take().context(no_pipe)?, sender.clone(), Said::Complaint);
        listen(child.stdout.take().context(no_pipe)?, sender, Said::Words);
        let (news, complaints) = (Vec::new(), String::new());
        Ok(Line { ssh: ssh.clone(), child, stdin, said, asked: 0, news, complaints })
    }

    /// Asks for `action` without waiting, and gives its number.
    pub(super) fn send(&mut self, action: &str, words: &[&str]) -> u64 {
        self.asked += 1;
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let line = format!("{} {action} {}\n", self.asked, words.join(" "));
        // If the line is dead, what it says next is that.
        let _ = self.stdin.write_all(line.as_bytes()).and_then(|()| self.stdin.flush());
        self.asked
    }

    /// Asks for `action`, which takes as long as `takes`, and waits until it is done. Gives its number.
    pub(super) fn ask(&mut self, action: &str, words: &[&str], takes: Duration) -> anyhow::Result<u64> {
        let number = self.send(action, words);
        let deadline = Instant::now() + takes + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let said = match self.said.recv_timeout(left) {
                Ok(said) => said,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{action}: no answer within {} s", PATIENCE.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => return Err(anyhow!(self.closed())),
            };
            match self.read(said) {
                Some(News::Done(of)) if of == number => return Ok(number),
                Some(News::Failed(of, why)) if of == number => bail!("{action} failed: {why}"),
                news => self.news.extend(news),
            }
        }
    }

    /// Whether ssh is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What has come since, without waiting.
    pub(super) fn news(&mut self) -> Vec<News> {
        loop {
            match self.said.try_recv() {
                Ok(said) => {
                    let news = self.read(said);
                    self.news.extend(news);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    let closed = self.closed();
                    self.news.push(News::Closed(closed));
                    break;
                }
            }
        }
        std::mem::take(&mut self.news)
    }

    fn read(&mut self, said: Said) -> Option<News> {
        match said {
            Said::Words(words) => News::read(&words),
            Said::Complaint(complaint) => {
                self.complaints += &complaint;
                self.complaints.push('\n');
                None
            }
        }
    }

    fn closed(&self) -> String {
        self.ssh.unreachable(last_words(&self.complaints)).to_string()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl News {
    /// What a line says; `None` for what a login prints besides.
    fn read(line: &str) -> Option<Self> {
        let (number, rest) = line.split_once(' ')?;
        let number = number.parse().ok()?;
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match (word, rest.split_once(' ').unwrap_or((rest, ""))) {
            ("ok", _) => Some(News::Done(number)),
            ("failed", _) => Some(News::Failed(number, last_words(rest))),
            ("ended", ("well", _)) => Some(News::Left(number)),
            ("ended", ("badly", words)) => Some(News::Fell(number, last_words(words))),
            _ => None,
        }
    }
}

/// Hands on what comes, line by line, until there is nothing more.
fn listen(from: impl Read + Send + 'static, to: Sender<Said>, kind: fn(String) -> Said) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { return };
            // Nobody listens any more: the line is given up.
            if to.send(kind(String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_is_read_and_nothing_else_believed() {
        for (line, news) in [
            ("3 ok", Some(News::Done(3))),
            (
                "4 failed the client is not running/",
                Some(News::Failed(4, "the client is not running/".into())),
            ),
            ("5 ended well", Some(News::Left(5))),
            ("6 ended badly a\u{1b}[31m", Some(News::Fell(6, "a?[31m".into()))),
            ("6 ended badly", Some(News::Fell(6, "it said nothing".into()))),
            ("Welcome to device-000", None),
            ("ok", None),
            ("-1 ok", None),
            ("7 ended somehow", None),
            ("", None),
        ] {
            assert_eq!(News::read(line), news, "{line:?}");
        }
    }
}
