//! The process of a program: asked in lines, and ended with all that it has started.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use input::advice::advice_on_starting;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::error::shortened;
use super::watch::Watch;
use super::words::Words;
use super::{CommandLine, Fault};

/// Bytes of an answer: the numbers of 100,000 rows have room.
const LONGEST: usize = 4 << 20;
/// How long it may take to leave by itself, once nobody will ask any more, or to end after its last word.
const PARTING: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(2);
/// Characters of an answer that an error repeats.
const REPEATED: usize = 120;

/// Beginnings of variables that mean this process alone: its settings, a password among them, and its supervisor's.
const OURS: [&str; 3] = ["OUTPOST_", "NOTIFY_SOCKET", "WATCHDOG_"];
/// Of these, what marks all that a bench has started, so that it can end it.
const MARK: &str = "OUTPOST_STARTED_BY";

/// A program that is running, and does not outlive this value, nor does what it has started in its process group.
#[derive(Debug)]
pub(crate) struct Child {
    group: Group,
    /// Dropped, its standard input is closed.
    questions: Option<Sender<Vec<u8>>>,
    answers: Receiver<Line>,
    words: Words,
    _watch: Watch,
}

/// What a program printed.
#[derive(Debug)]
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

impl Child {
    pub(crate) fn start(command: &CommandLine) -> Result<Self, Fault> {
        let [program, arguments @ ..] = command.words() else {
            return Err(Fault::Start("it has no name".to_owned()));
        };
        let mut started = Command::new(program);
        started.args(arguments);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            started.env_remove(name);
        }
        started.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Of its own, so that all that it starts can be ended, and Ctrl-C does not reach it.
        started.process_group(0);
        let failed = |error: io::Error| Fault::Start(format!("{error}{}", advice_on_starting(&error)));
        let mut process = started.spawn().map_err(failed)?;
        let watch = Watch::over(process.id());
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let connected = || -> io::Result<_> {
            let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
                return Err(io::Error::other("it has no pipes"));
            };
            let ((questions, asked), (said, answers)) = (channel(), sync_channel(1));
            thread::Builder::new().spawn(move || write(stdin, &asked))?;
            thread::Builder::new().spawn(move || read(stdout, &said))?;
            Ok((questions, answers, Words::hear(&command.to_string(), stderr)?))
        };
        let group = Group { process, status: None };
        // Without them it is ended again, as the group is dropped.
        let (questions, answers, words) = connected().map_err(failed)?;
        Ok(Child { group, questions: Some(questions), answers, words, _watch: watch })
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.group.has_ended()
    }

    /// What it answers to a question, which is a line, within `seconds`.
    pub(crate) fn ask(&mut self, question: Vec<u8>, seconds: u32) -> Result<Vec<u8>, Fault> {
        match self.answers.try_recv() {
            Ok(Line::Whole(said)) => return Err(Fault::Unasked(repeated(&said))),
            Ok(Line::TooLong) => return Err(Fault::TooLong(LONGEST >> 10)),
            Err(TryRecvError::Disconnected) => return Err(self.fallen()),
            Err(TryRecvError::Empty) => {}
        }
        self.words.begin();
        if let Some(questions) = &self.questions {
            // One that does not take it has ended, which shows below.
            let _ = questions.send(question);
        }
        match self.answers.recv_timeout(Duration::from_secs(seconds.into())) {
            Ok(Line::Whole(said)) => Ok(said),
            Ok(Line::TooLong) => Err(Fault::TooLong(LONGEST >> 10)),
            Err(RecvTimeoutError::Timeout) => Err(Fault::TooSlow { seconds, words: self.words.last() }),
            Err(RecvTimeoutError::Disconnected) => Err(self.fallen()),
        }
    }

    /// Nobody will ask it any more: it has a moment to leave by itself.
    pub(crate) fn part(mut self) {
        self.questions = None;
        let until = Instant::now() + PARTING;
        while !self.has_ended() && Instant::now() < until {
            thread::sleep(POLL);
        }
    }

    /// How it has ended, or why it will be.
    fn fallen(&mut self) -> Fault {
        let until = Instant::now() + PARTING;
        while !(self.has_ended() && self.words.are_over()) && Instant::now() < until {
            thread::sleep(POLL);
        }
        let words = self.words.last();
        match self.group.has_ended().then(|| self.group.end()).flatten() {
            Some(status) => Fault::Ended { status, words },
            None => Fault::Closed { words },
        }
    }
}

/// A process with all that it has started.
#[derive(Debug)]
struct Group {
    process: Process,
    /// How it ended, once it has been waited for.
    status: Option<ExitStatus>,
}

impl Group {
    fn number(&self) -> Option<Pid> {
        i32::try_from(self.process.id()).ok().and_then(Pid::from_raw)
    }

    /// Whether the process has ended; its number is not given to another before [`Group::end`].
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let goes_on = |pid| matches!(waitid(WaitId::Pid(pid), options), Ok(None));
        self.status.is_some() || !self.number().is_some_and(goes_on)
    }

    /// Ends the process and what it has started, and says how it ended.
    fn end(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // There may be nobody left in it.
            let _ = self.number().map(|pid| kill_process_group(pid, Signal::KILL));
            self.status = self.process.wait().ok();
        }
        self.status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Why an answer, which is `said`, is none.
pub(crate) fn garbage(said: &[u8], why: &serde_json::Error) -> Fault {
    Fault::Garbage { said: repeated(said), why: why.to_string() }
}

fn repeated(said: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(said), REPEATED)
}

pub(crate) fn is_ours(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    name != MARK && OURS.iter().any(|beginning| bytes.starts_with(beginning.as_bytes()))
}

/// Writes each question to the program. One that takes none blocks this thread until it is ended.
fn write(mut to: impl Write, questions: &Receiver<Vec<u8>>) {
    for question in questions {
        if to.write_all(&question).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

/// Passes on each line that the program prints; it is not read on before somebody takes that.
fn read(from: impl Read, to: &SyncSender<Line>) {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        let read = (&mut from).take(LONGEST as u64 + 1).read_until(b'\n', &mut line);
        let line = match read {
            Ok(1..) if line.len() > LONGEST => Line::TooLong,
            Ok(1..) => Line::Whole(line),
            Ok(0) | Err(_) => return,
        };
        if to.send(line).is_err() {
            return;
        }
    }
}
