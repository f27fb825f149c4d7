//! What a program says on standard error: for the log, and the last of it for errors.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use tracing::info;

use super::error::shortened;

/// Bytes of a line: what is longer is taken for several.
const LINE: u64 = 2 << 10;
/// Lines that are logged for one question: a program that prints without end must not fill the disk.
const LOGGED: u32 = 200;
/// Characters of the last words.
const LAST: usize = 300;
/// Characters of the program's name in the log.
const NAME: usize = 40;

/// What a program says, heard by a thread of its own.
pub(crate) struct Words {
    heard: Arc<Heard>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    last: Mutex<Option<String>>,
    /// Lines since the last question.
    lines: AtomicU32,
}

impl Words {
    /// Hears what the program called `name` says by `stderr`.
    pub(crate) fn hear(name: &str, stderr: impl Read + Send + 'static) -> io::Result<Self> {
        let (heard, name) = (Arc::<Heard>::default(), shortened(name, NAME));
        let kept = heard.clone();
        let thread = thread::Builder::new().spawn(move || listen(&name, stderr, &kept))?;
        Ok(Words { heard, thread })
    }

    /// It has been asked something: it may say as much again.
    pub(crate) fn begin(&self) {
        self.heard.lines.store(0, Ordering::Relaxed);
    }

    /// Whether it will say no more.
    pub(crate) fn are_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// The last line that it said.
    pub(crate) fn last(&self) -> Option<String> {
        self.heard.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Words").field(&self.last()).finish()
    }
}

fn listen(name: &str, stderr: impl Read, heard: &Heard) {
    let (mut stderr, mut line) = (BufReader::new(stderr), Vec::new());
    loop {
        line.clear();
        // One that cannot be heard any more is as good as one that says no more.
        if !matches!((&mut stderr).take(LINE).read_until(b'\n', &mut line), Ok(1..)) {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        match heard.lines.fetch_add(1, Ordering::Relaxed) {
            0..LOGGED => info!("{name}: {}", shortened(text, LINE as usize)),
            LOGGED => info!("{name}: what more it says before the next question is not logged"),
            _ => {}
        }
        *heard.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(shortened(text, LAST));
    }
}
