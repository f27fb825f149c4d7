//! Printing, which cannot panic: a program whose output goes to a full disk, or whose reader has gone, must go on.

use std::error::Error;
use std::fmt::Display;
use std::io::{ErrorKind, Write as _, stderr, stdout};

use input::advice::{Advised, advice};

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

/// What `error` and its causes say, each of them what none above has said, and what to do about it, if an error of the
/// operating system is at the bottom.
pub fn advised(error: &(dyn Error + 'static)) -> String {
    let (mut said, mut bottom) = (error.to_string(), error);
    while let Some(source) = bottom.source() {
        bottom = source;
        let more = bottom.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
    }
    let advice = bottom.downcast_ref().map(advice).unwrap_or_default();
    if !said.contains(&advice) {
        said += &advice;
    }
    said
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn advice_is_said_once() {
        let full = io::Error::from_raw_os_error(28);
        assert_eq!(advised(&full), "No space left on device (os error 28); check that the disk has room");
        let print = PrintError(full);
        let said =
            "cannot print the result: No space left on device (os error 28); check that the disk has room";
        assert_eq!(advised(&print), said);
        assert_eq!(
            advised(&io::Error::other(io::Error::other("torn"))),
            "torn",
            "and no cause is said twice"
        );
    }
}
