//! The events of a state machine, whichever loop drives it.

use super::Payload;

/// An event, for a state machine that has computed what comes to a `T`.
#[derive(Debug)]
pub enum Event<'a, T> {
    /// The broker was reached; nothing is subscribed yet.
    Connected,
    /// The broker was lost.
    Disconnected,
    /// A message arrived.
    Message {
        /// Topic.
        topic: &'a str,
        /// Payload.
        payload: &'a Payload,
        /// Whether it was lying at the broker.
        retained: bool,
    },
    /// A job is done.
    Done(T),
    /// The time has come at which the state machine wanted to be woken.
    Tick,
}
