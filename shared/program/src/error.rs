//! What goes wrong with another program.

use std::process::ExitStatus;

/// What went wrong, and with which program: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the program `{command}` {fault}")]
pub struct ProgramError {
    /// The program with its arguments.
    pub command: String,
    /// What went wrong.
    pub fault: Fault,
}

/// What goes wrong with another program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nobody has allowed it to be started.
    #[error("is not allowed here: only --allow-program allows one, never a scenario")]
    NotAllowed,
    /// It cannot be started.
    #[error("cannot be started: {0}")]
    Start(String),
    /// The memory for its numbers cannot be had, or read.
    #[error("cannot be given its numbers: {0}")]
    Memory(String),
    /// It says itself that it cannot answer.
    #[error("says: {0}")]
    Said(String),
    /// It ended before it answered.
    #[error("ended before it answered, with {status}{}", words_after(.words.as_deref()))]
    Ended {
        /// How.
        status: ExitStatus,
        /// The last line that it printed on standard error, if there was one.
        words: Option<String>,
    },
    /// It closed its standard output, and goes on.
    #[error("closed its standard output before it answered, and was ended{}", words_after(.words.as_deref()))]
    Closed {
        /// As in [`Fault::Ended`].
        words: Option<String>,
    },
    /// It took longer than it may.
    #[error("did not answer within {seconds} s and was ended{}; it has as long as its key `seconds` says", words_after(.words.as_deref()))]
    TooSlow {
        /// How long it had.
        seconds: u32,
        /// As in [`Fault::Ended`].
        words: Option<String>,
    },
    /// It printed a line without end.
    #[error("answered with a line of more than {0} KiB and was ended")]
    TooLong(usize),
    /// It printed what is no answer.
    #[error("answered `{said}`, which is no answer, and was ended: {why}")]
    Garbage {
        /// What it printed.
        said: String,
        /// What is wrong with it.
        why: String,
    },
    /// It printed something where nobody had asked it.
    #[error(
        "printed `{0}` when nobody had asked it, and was ended: standard output is for answers, standard error for \
         anything else"
    )]
    Unasked(String),
    /// Its answer has the right form, and cannot be.
    #[error("answered wrongly: {0}")]
    Wrong(String),
}

impl Fault {
    /// Whether the program goes on all the same: it has answered, and waits for the next question.
    pub(crate) fn is_of_answer(&self) -> bool {
        matches!(self, Fault::Said(_) | Fault::Wrong(_))
    }
}

fn words_after(words: Option<&str>) -> String {
    words.map_or_else(String::new, |words| format!(": {words}"))
}

/// `text` as one line of at most so many characters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(most + 1).collect();
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_is_one_line_of_limited_length() {
        assert_eq!(shortened(" a\n\u{1b}[31mb\t", 300), "a  [31mb");
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äöü ...");
    }
}
