//! The output of another program, within limits of size and time: a board, or whatever stands between, may print without
//! end, or never end.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use input::advice::advice_on_starting;

/// How long a program may go on once this one is to stop.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// How much a program may print on each of its two outputs, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<'a> {
    /// In bytes.
    pub(crate) size: usize,
    pub(crate) time: Duration,
    /// Set when this program is to stop: what runs then has [`GRACE`] left.
    pub(crate) stop: Option<&'a AtomicBool>,
}

impl Limits<'_> {
    /// For a program that says little and is done at once.
    pub(crate) const BRIEF: Limits<'static> =
        Limits { size: 1 << 20, time: Duration::from_secs(60), stop: None };
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// It does not start.
    #[error("it cannot be started: {}{}", .0, advice_on_starting(.0))]
    Start(io::Error),
    /// It printed more than it may.
    #[error("it printed more than {0} KiB and was ended")]
    TooMuch(usize),
    /// It took longer than it may.
    #[error("it did not end within {0} s and was ended")]
    TooLong(u64),
    /// This program is to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Starts `command`, gives it `input`, and waits for its end; beyond its `limits` it is killed.
///
/// # Errors
/// [`OutputError`]. Whether it succeeded is for the caller to see.
pub(crate) fn output(
    command: &mut Command,
    input: Vec<u8>,
    limits: Limits<'_>,
) -> Result<Output, OutputError> {
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Killed(command.spawn().map_err(OutputError::Start)?);
    if let Some(mut stdin) = child.0.stdin.take() {
        // Who does not want it all has failed, and says why.
        thread::spawn(move || stdin.write_all(&input));
    }
    let (tell, said) = channel();
    collect(child.0.stdout.take(), limits.size, 0, tell.clone());
    collect(child.0.stderr.take(), limits.size, 1, tell);
    let (mut deadline, mut stopped) = (Instant::now() + limits.time, false);
    let mut printed = [None, None];
    loop {
        match said.recv_timeout(POLL) {
            Ok((_, bytes)) if bytes.len() > limits.size => {
                return Err(OutputError::TooMuch(limits.size >> 10));
            }
            Ok((which, bytes)) => printed[which] = Some(bytes),
            Err(_) => thread::sleep(POLL.min(deadline.saturating_duration_since(Instant::now()))),
        }
        if let [Some(stdout), Some(stderr)] = &mut printed
            && let Some(status) = child.0.try_wait().map_err(OutputError::Start)?
        {
            let (stdout, stderr) = (std::mem::take(stdout), std::mem::take(stderr));
            return Ok(Output { status, stdout, stderr });
        }
        if !stopped && limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            (stopped, deadline) = (true, deadline.min(Instant::now() + GRACE));
        }
        if Instant::now() >= deadline {
            return Err(if stopped {
                OutputError::Interrupted
            } else {
                OutputError::TooLong(limits.time.as_secs())
            });
        }
    }
}

/// Reads what is printed, and a byte more than may be, on a thread of its own.
fn collect(
    from: Option<impl Read + Send + 'static>,
    limit: usize,
    which: usize,
    to: Sender<(usize, Vec<u8>)>,
) {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            // What came before a failure has come.
            let _ = from.take(limit as u64 + 1).read_to_end(&mut bytes);
        }
        // Nobody waits any more for what was ended.
        let _ = to.send((which, bytes));
    });
}

/// A program that does not outlive this value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The last `size` bytes of the file at `path`, as text; nothing of a file that cannot be read.
pub(crate) fn end_of(path: &Path, size: u64) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(size)))?;
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, input: &[u8], limits: Limits<'_>) -> Result<Output, OutputError> {
        output(crate::system::children::command("sh").args(["-c", script]), input.to_vec(), limits)
    }

    #[test]
    fn a_program_is_heard_whole() {
        let output = run("cat; echo no >&2; exit 3", &vec![b'x'; 100_000], Limits::BRIEF).unwrap();
        assert_eq!((output.stdout.len(), output.stderr), (100_000, b"no\n".to_vec()));
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn one_that_prints_without_end_is_ended() {
        for script in ["cat /dev/zero", "cat /dev/zero >&2"] {
            let error = run(script, b"", Limits { size: 1 << 16, ..Limits::BRIEF }).unwrap_err();
            assert_eq!(error.to_string(), "it printed more than 64 KiB and was ended");
        }
    }

    #[test]
    fn one_that_says_nothing_is_ended_in_time() {
        let limits = Limits { time: Duration::from_millis(1), ..Limits::BRIEF };
        // The second has closed both of its outputs, the third has left them to another.
        for script in ["exec sleep 1000", "exec sleep 1000 >&- 2>&-", "sleep 5 & exit 0"] {
            let error = run(script, b"", limits).unwrap_err();
            assert!(matches!(error, OutputError::TooLong(_)), "{script}: {error}");
        }
    }

    #[test]
    fn one_that_is_under_way_when_all_is_to_stop_is_ended_soon() {
        let stop = AtomicBool::new(true);
        let error = run("exec sleep 1000", b"", Limits { stop: Some(&stop), ..Limits::BRIEF }).unwrap_err();
        assert!(matches!(error, OutputError::Interrupted), "{error}");
    }

    #[test]
    fn of_a_file_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, b"\xff first\nlast\n").unwrap();
        assert_eq!(end_of(&path, 5), "last\n");
        assert_eq!(end_of(&path, 100), "\u{fffd} first\nlast\n");
        assert_eq!(end_of(&folder.path().join("none"), 5), "");
    }
}
