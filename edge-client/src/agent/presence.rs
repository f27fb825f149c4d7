//! Being here, and being the only one of one's name.

use shared::identity::Digest;
use shared::wire::{Message, Millis, PROTOCOL_VERSION, Publication, Status, Topic, Topics};
use tracing::debug;

use super::{Action, Farewell, Identity};

/// The device's status message, and the contest with a second process of the same name: the one that has been up
/// longer stays.
#[derive(Debug)]
pub(super) struct Presence {
    status: Status,
    topic: String,
    started: Millis,
}

impl Presence {
    pub(super) fn new(me: &Identity, topics: &Topics, scenario: Digest, now: Millis) -> Self {
        let status = Status {
            protocol: PROTOCOL_VERSION,
            device: me.device,
            boot: me.boot,
            up_ms: 0,
            online: true,
            scenario,
            examples: me.examples,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Presence { status, topic: topics.name(Topic::Status(me.device)), started: now }
    }

    /// "I am here."
    pub(super) fn online(&self, now: Millis) -> Publication {
        let status = Status { up_ms: self.up(now), ..self.status.clone() };
        Publication::retained(self.topic.clone(), &Message::Status(status))
    }

    /// "I am gone", also as the last will.
    pub(super) fn offline(&self) -> Publication {
        let status = Status { online: false, ..self.status.clone() };
        Publication::retained(self.topic.clone(), &Message::Status(status))
    }

    /// Something was said under this device's name.
    pub(super) fn heard(&self, now: Millis, said: &Status, retained: bool, out: &mut Vec<Action>) {
        if said.boot == self.status.boot {
            return;
        }
        let elder = (said.up_ms, said.boot) > (self.up(now), self.status.boot);
        if said.online && !retained && elder {
            out.push(Action::Leave(Farewell::DuplicateId));
        } else {
            // A younger process, one that is gone, or its last will: the truth is that this one is here.
            debug!("answering for boot {:016x} of the same device", said.boot);
            out.push(Action::Publish(self.online(now)));
        }
    }

    fn up(&self, now: Millis) -> u64 {
        now.since(self.started).0
    }
}
