//! What is printed. Nothing of it can panic: a program whose output goes to a full disk, or whose reader has gone, must
//! go on.

use std::error::Error;
use std::fmt::Display;
use std::io::{ErrorKind, Write as _, stderr, stdout};

use shared::advice::{Advised, advice};

/// A result that could not be printed.
#[derive(Debug, thiserror::Error)]
#[error("cannot print the result: {}", Advised(.0))]
pub struct PrintError(std::io::Error);

/// Prints a line to standard output. False if nobody reads it any more, as behind `| head`: that is no error.
///
/// # Errors
/// [`PrintError`] if there is no room for it.
pub fn print(line: impl Display) -> Result<bool, PrintError> {
    let mut out = stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(PrintError(error)),
    }
}

/// Prints a line to standard error, if there is room for it.
pub fn complain(line: impl Display) {
    // In one piece: other processes may write there, too.
    let _ = stderr().write_all(format!("{line}\n").as_bytes());
}

/// What to do about `error`, if an error of the operating system is at the bottom of it and nothing above has said so.
pub fn advice_at_bottom_of(error: &(dyn Error + 'static)) -> String {
    let mut bottom = error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    bottom.downcast_ref().map(advice).unwrap_or_default()
}
