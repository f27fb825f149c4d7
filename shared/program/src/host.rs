//! What starts another program, asks it and ends it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::child::{Child, garbage};
use super::error::shortened;
use super::shared_file::{SharedFile, SharedMatrix};
use super::{CommandLine, Fault, Numbers, ProgramError};

/// The version of the lines that are exchanged.
const VERSION: u32 = 1;
/// Characters of what a program says of itself in its answer.
const SAID: usize = 300;
/// Characters of a command that an error repeats: that of a shell may be a whole program.
const NAMED: usize = 80;

/// Starts a program when it is first asked, and has it go on from question to question.
///
/// Nothing is started before it is [allowed](Host::allow). Dropped, it ends the program.
#[derive(Debug, Default)]
pub struct Host {
    is_allowed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` before it is started, and once it has failed.
    child: Option<Child>,
    /// Kept, so that the memory of one question serves for the next.
    files: Option<Files>,
}

/// Where a program finds its numbers, and leaves its own.
#[derive(Debug)]
struct Files {
    updates: SharedMatrix,
    global: SharedMatrix,
    state: SharedMatrix,
    written: Written,
}

/// What a program has written beside the line of its answer.
#[derive(Debug)]
pub struct Written {
    answer: SharedFile,
    keep: SharedFile,
}

impl Written {
    /// Its answer, if that is `count` rows of `columns` finite numbers.
    ///
    /// # Errors
    /// [`Fault::Wrong`] says how much there is instead, or which number is not finite.
    pub fn rows(&self, count: usize, columns: usize) -> Result<Vec<f32>, Fault> {
        self.answer.rows(count, columns)
    }

    /// The numbers that it wants to be given with the next question, if its answer says how many these are.
    ///
    /// # Errors
    /// As [`Written::rows`].
    pub fn kept(&self, keep: Option<usize>) -> Result<Option<Vec<f32>>, Fault> {
        keep.map(|count| self.keep.rows(1, count)).transpose()
    }
}

/// What a program is given beside its question.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The updates, m x d.
    pub updates: &'a Numbers<'a>,
    /// The global model, d values.
    pub global: &'a [f32],
    /// What it has kept of earlier questions; empty at first.
    pub state: &'a [f32],
}

/// Which program it is, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The program and its arguments.
    pub command: &'a [String],
    /// How many seconds it has for an answer.
    pub seconds: u32,
}

/// A question as it is asked: what is asked, and where the numbers are.
#[derive(Serialize)]
struct Asked<'a, Q> {
    outpost: u32,
    #[serde(flatten)]
    question: &'a Q,
    updates: &'a str,
    global: &'a str,
    /// How many numbers `state` begins with.
    kept: usize,
    state: &'a str,
    answer: &'a str,
    keep: &'a str,
}

/// What a program says in place of an answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    error: String,
}

impl Host {
    /// Allows the program to be started.
    pub fn allow(&self) {
        self.is_allowed.store(true, Ordering::Relaxed);
    }

    /// Ends the program, if it is running. It has half a second to leave by itself.
    pub fn end(&self) {
        let State { child, files } = std::mem::take(&mut *self.state());
        drop(files);
        if let Some(child) = child {
            child.part();
        }
    }

    /// Asks the program of `terms`, which is started if it is not running. `question` becomes one line, with the paths at which
    /// the program finds its `inputs`; `read` makes something of what it answers, and of what it has written.
    ///
    /// # Errors
    /// [`ProgramError`]. If that is not only about the answer, the program is ended, and the next question starts it anew.
    pub fn ask<A: DeserializeOwned, T>(
        &self,
        terms: Terms<'_>,
        question: &impl Serialize,
        inputs: Inputs<'_>,
        read: impl FnOnce(A, &Written) -> Result<T, Fault>,
    ) -> Result<T, ProgramError> {
        let command = CommandLine::of(terms.command);
        let asked = || {
            if !self.is_allowed.load(Ordering::Relaxed) {
                return Err(Fault::NotAllowed);
            }
            let mut state = self.state();
            let State { child, files } = &mut *state;
            let memory = |error: io::Error| Fault::Memory(error.to_string());
            let files = match files {
                Some(files) => files,
                None => files.insert(Files::new().map_err(memory)?),
            };
            files.fill(inputs).map_err(memory)?;
            let line = files.asked(question, inputs.state.len()).map_err(memory)?;
            let answered = answer(child, &command, &line, terms.seconds);
            let answered = answered.and_then(|said| read(understood(&said)?, &files.written));
            if answered.as_ref().is_err_and(|fault| !fault.is_of_answer()) {
                *child = None;
            }
            answered
        };
        asked().map_err(|fault| ProgramError { command: shortened(&command.to_string(), NAMED), fault })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}

impl Files {
    fn new() -> io::Result<Self> {
        Ok(Files {
            updates: SharedMatrix::new("outpost-updates")?,
            global: SharedMatrix::new("outpost-global")?,
            state: SharedMatrix::new("outpost-state")?,
            written: Written { answer: SharedFile::new("answer")?, keep: SharedFile::new("keep")? },
        })
    }

    fn fill(&mut self, inputs: Inputs<'_>) -> io::Result<()> {
        self.updates.fill(inputs.updates)?;
        for (file, values) in [(&mut self.global, inputs.global), (&mut self.state, inputs.state)] {
            let copy = |_, from: usize, to: &mut [f32]| to.copy_from_slice(&values[from..][..to.len()]);
            file.fill(&Numbers { rows: 1, columns: values.len(), copy: &copy })?;
        }
        // What an earlier answer has left must not be taken for this one's.
        self.written.answer.clear()?;
        self.written.keep.clear()
    }

    fn asked(&self, question: &impl Serialize, kept: usize) -> io::Result<Vec<u8>> {
        let Written { answer, keep } = &self.written;
        let asked = Asked {
            outpost: VERSION,
            question,
            updates: self.updates.path(),
            global: self.global.path(),
            kept,
            state: self.state.path(),
            answer: answer.path(),
            keep: keep.path(),
        };
        let mut line = serde_json::to_vec(&asked)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// What a program answers to `line`. One that has left with success since its last answer, as one may that answers a single
/// question, is started again.
fn answer(
    running: &mut Option<Child>,
    command: &CommandLine,
    line: &[u8],
    seconds: u32,
) -> Result<Vec<u8>, Fault> {
    let before = running.take().filter(|child| !child.has_ended());
    if let Some(mut child) = before {
        match child.ask(line.to_vec(), seconds) {
            Err(Fault::Ended { status, .. }) if status.success() => {}
            answered => {
                *running = Some(child);
                return answered;
            }
        }
    }
    info!("starting {}", shortened(&command.to_string(), NAMED));
    running.insert(Child::start(command)?).ask(line.to_vec(), seconds)
}

/// The answer that `said` is.
fn understood<A: DeserializeOwned>(said: &[u8]) -> Result<A, Fault> {
    if let Ok(Refusal { error }) = serde_json::from_slice(said) {
        return Err(Fault::Said(shortened(&error, SAID)));
    }
    serde_json::from_slice(said).map_err(|error| garbage(said, &error))
}

#[cfg(test)]
mod tests;
