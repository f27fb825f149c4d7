//! The messages of an emulated board: the lines of its `init`.

use std::fmt;

/// A client on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// The device's own.
    Client,
    /// A second one of its name.
    Twin,
}

/// What a board has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BoardMessage {
    /// It is up.
    Ready,
    /// A client is under way.
    Started(Who),
    /// What was asked for is done.
    Done(Who),
    /// A client has ended with this status, and is started again.
    Failed(Who, u8),
    /// A client has ended with this status, for good.
    Ended(Who, u8),
}

impl Who {
    pub(super) fn name(self) -> &'static str {
        match self {
            Who::Client => "client",
            Who::Twin => "twin",
        }
    }

    fn called(name: &str) -> Option<Self> {
        [Who::Client, Who::Twin].into_iter().find(|who| who.name() == name)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl BoardMessage {
    /// What a line tells; `None` if it is nothing that `init` says.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(match *words.as_slice() {
            ["ready"] => BoardMessage::Ready,
            ["started", who] => BoardMessage::Started(Who::called(who)?),
            ["done", who] => BoardMessage::Done(Who::called(who)?),
            ["failed", who, status] => BoardMessage::Failed(Who::called(who)?, status.parse().ok()?),
            ["ended", who, status] => BoardMessage::Ended(Who::called(who)?, status.parse().ok()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_says_is_read_and_nothing_else() {
        assert_eq!(BoardMessage::parse("ready\r"), Some(BoardMessage::Ready));
        assert_eq!(BoardMessage::parse("started twin"), Some(BoardMessage::Started(Who::Twin)));
        assert_eq!(BoardMessage::parse("ended client 137"), Some(BoardMessage::Ended(Who::Client, 137)));
        for nothing in ["", "ready now", "ended client", "ended client 300", "started nobody", "done"] {
            assert_eq!(BoardMessage::parse(nothing), None, "{nothing}");
        }
    }
}
