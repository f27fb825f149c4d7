//! Events that wait until the program takes them; `link.rs` says why they are few.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, Publish};
use tokio::sync::mpsc::{Permit, Sender};
use tokio::time::Instant;
use tracing::warn;
use wire::MAX_MESSAGE_BYTES;

use crate::LinkEvent;

/// What may wait at most. Only messages of QoS 0, which no program of this project publishes, or a broker without a
/// limit of its own reach it; what exceeds it is dropped.
const MAX_BYTES: usize = 128 << 20;
/// What an event takes beside its payload.
const OVERHEAD: usize = 256;
/// How often it is logged that messages were dropped.
const LOGGED: Duration = Duration::from_secs(10);

/// Events on their way from a connection to the program.
pub(crate) struct Held<'a> {
    client: AsyncClient,
    events: &'a Sender<LinkEvent>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Acknowledgements for which there was no room.
    owed: VecDeque<Publish>,
    /// Connections that have ended.
    connections: u64,
    dropped: u64,
    logged: Option<Instant>,
}

struct Waiting {
    event: LinkEvent,
    bytes: usize,
    /// What is acknowledged when it is passed on, and on which connection.
    acknowledged: Option<(Publish, u64)>,
}

impl<'a> Held<'a> {
    pub(crate) fn new(client: AsyncClient, events: &'a Sender<LinkEvent>) -> Self {
        let (waiting, owed) = (VecDeque::new(), VecDeque::new());
        Held { client, events, waiting, bytes: 0, owed, connections: 0, dropped: 0, logged: None }
    }

    /// An event that is no message.
    pub(crate) fn push(&mut self, event: LinkEvent) {
        self.waiting.push_back(Waiting { event, bytes: 0, acknowledged: None });
    }

    /// A message; if it is too long, as much of it as shows that.
    pub(crate) fn take(&mut self, message: Publish) {
        let Publish { topic, payload, retain, qos, pkid, .. } = message;
        let mut acknowledged = Publish::from_bytes("", qos, Bytes::new());
        acknowledged.pkid = pkid;
        let payload = match payload.get(..=MAX_MESSAGE_BYTES) {
            Some(beginning) => Bytes::copy_from_slice(beginning),
            None => payload,
        };
        let bytes = payload.len() + OVERHEAD;
        if self.bytes + bytes > MAX_BYTES {
            self.acknowledge(acknowledged);
            self.count_dropped();
            return;
        }
        self.bytes += bytes;
        let event = LinkEvent::Message { topic, payload, retained: retain };
        self.waiting.push_back(Waiting {
            event,
            bytes,
            acknowledged: Some((acknowledged, self.connections)),
        });
    }

    /// The connection is gone, and with it what was to be acknowledged on it.
    pub(crate) fn cut(&mut self) {
        self.connections += 1;
        self.owed.clear();
    }

    /// Hands events on as the program takes them, until `work` is done.
    pub(crate) async fn during<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            self.settle();
            let events = self.events;
            tokio::select! {
                biased;
                output = &mut work => return output,
                Ok(room) = events.reserve(), if !self.waiting.is_empty() => self.hand_over(room),
            }
        }
    }

    /// Hands everything on.
    pub(crate) async fn hand_over_all(&mut self) {
        while !self.waiting.is_empty() {
            match self.events.reserve().await {
                Ok(room) => self.hand_over(room),
                Err(_) => return,
            }
        }
    }

    /// Does what can be done at once.
    fn settle(&mut self) {
        while let Some(next) = self.owed.pop_front() {
            if self.client.try_ack(&next).is_err() {
                self.owed.push_front(next);
                break;
            }
        }
        while !self.waiting.is_empty()
            && let Ok(room) = self.events.try_reserve()
        {
            self.hand_over(room);
        }
    }

    fn hand_over(&mut self, room: Permit<'_, LinkEvent>) {
        let Some(Waiting { event, bytes, acknowledged }) = self.waiting.pop_front() else { return };
        self.bytes -= bytes;
        room.send(event);
        if let Some((message, connection)) = acknowledged
            && connection == self.connections
        {
            self.acknowledge(message);
        }
    }

    fn acknowledge(&mut self, message: Publish) {
        if !self.owed.is_empty() || self.client.try_ack(&message).is_err() {
            self.owed.push_back(message);
        }
    }

    fn count_dropped(&mut self) {
        self.dropped += 1;
        if self.logged.is_none_or(|logged| logged.elapsed() >= LOGGED) {
            warn!(
                "{} messages were dropped: the broker sends more than this program can take, and does not wait",
                self.dropped
            );
            (self.dropped, self.logged) = (0, Some(Instant::now()));
        }
    }
}
