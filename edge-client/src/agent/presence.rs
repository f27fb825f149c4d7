//! Being here, and being the only one of one's name.

use shared::identity::Digest;
use shared::wire::{Message, Millis, PROTOCOL_VERSION, Publication, Status, Telemetry, Topic, Topics};
use tracing::debug;

use super::{Action, Farewell, Identity};

/// After so many answers to the same other process, not the elder of the two stays but the one of the higher boot id:
/// what either says of its age is out of date when it arrives, and two that started at the same time may each take
/// themselves for the elder.
const ANSWERS: u32 = 3;

/// The device's status message, and the contest with a second process of the same name: the one that has been up
/// longer stays.
#[derive(Debug)]
pub(super) struct Presence {
    status: Status,
    topic: String,
    started: Millis,
    /// Another process of this device's name, and how often it has been answered.
    contest: Option<(u64, u32)>,
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
            delivered: None,
            telemetry: Telemetry::default(),
            error: None,
        };
        Presence { status, topic: topics.name(Topic::Status(me.device)), started: now, contest: None }
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
    pub(super) fn heard(&mut self, now: Millis, said: &Status, retained: bool, out: &mut Vec<Action>) {
        if said.boot == self.status.boot {
            return;
        }
        let answers = self.contest.filter(|(boot, _)| *boot == said.boot).map_or(0, |(_, answers)| answers);
        let mine = (if answers < ANSWERS { self.up(now) } else { 0 }, self.status.boot);
        let theirs = (if answers < ANSWERS { said.up_ms } else { 0 }, said.boot);
        let running = said.online && !retained;
        if running && theirs > mine {
            out.push(Action::Leave(Farewell::DuplicateId));
        } else {
            if running {
                self.contest = Some((said.boot, answers.saturating_add(1)));
            }
            // A younger process, one that is gone, or its last will: the truth is that this one is here.
            debug!("answering for boot {:016x} of the same device", said.boot);
            out.push(Action::Publish(self.online(now)));
        }
    }

    fn up(&self, now: Millis) -> u64 {
        now.since(self.started).0
    }
}
