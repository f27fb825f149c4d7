//! What has been sent and not yet been acknowledged by the application at the other end.

use shared::wire::{Chunk, Message, Millis, Missing, Outgoing, Publication, TransferId};

use super::Action;

const FIRST_PAUSE: Millis = Millis(2_000);
const LONGEST_PAUSE: Millis = Millis(16_000);

/// Transfers on their way. MQTT's acknowledgement only says that the broker has them; they stay here until the
/// receiver's own receipt. Where that does not come, the first chunk is sent once more: the receiver answers it
/// with a receipt, or with what it lacks.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    letters: Vec<Letter>,
}

#[derive(Debug)]
struct Letter {
    topic: String,
    transfer: Outgoing,
    /// The receiver has it. Kept all the same until the next round: an aggregator that is killed loses what it had
    /// acknowledged in the round it was in.
    settled: bool,
    probe_at: Millis,
    pause: Millis,
}

impl Letter {
    fn publish(&self, chunk: Chunk) -> Action {
        Action::Publish(Publication::live(self.topic.clone(), &Message::Chunk(chunk)))
    }

    fn probe(&mut self, now: Millis, out: &mut Vec<Action>) {
        out.extend(self.transfer.chunk(0).map(|chunk| self.publish(chunk)));
        self.pause = (self.pause + self.pause).min(LONGEST_PAUSE);
        self.probe_at = now + self.pause;
    }
}

impl Outbox {
    /// Sends all of `transfer` to `topic`, and keeps it.
    pub(super) fn post(&mut self, now: Millis, topic: String, transfer: Outgoing, out: &mut Vec<Action>) {
        self.letters.retain(|letter| letter.transfer.id() != transfer.id());
        let letter =
            Letter { topic, transfer, settled: false, probe_at: now + FIRST_PAUSE, pause: FIRST_PAUSE };
        out.extend(letter.transfer.chunks().map(|chunk| letter.publish(chunk)));
        self.letters.push(letter);
    }

    /// The receiver has acknowledged a transfer. True if it was one from here.
    pub(super) fn settle(&mut self, id: &TransferId) -> bool {
        let letter = self.letters.iter_mut().find(|letter| letter.transfer.id() == *id);
        letter.map(|letter| letter.settled = true).is_some()
    }

    /// The receiver has forgotten everything.
    pub(super) fn unsettle(&mut self) {
        for letter in &mut self.letters {
            letter.settled = false;
        }
    }

    fn open(&mut self) -> impl Iterator<Item = &mut Letter> {
        self.letters.iter_mut().filter(|letter| !letter.settled)
    }

    /// Sends what the receiver lacks.
    pub(super) fn answer(&mut self, now: Millis, missing: &Missing, out: &mut Vec<Action>) {
        for letter in self.letters.iter_mut().filter(|letter| letter.transfer.id() == missing.id) {
            out.extend(letter.transfer.answer(missing).into_iter().map(|chunk| letter.publish(chunk)));
            letter.probe_at = now + letter.pause;
        }
    }

    /// Reminds receivers that have been silent for too long.
    pub(super) fn remind(&mut self, now: Millis, out: &mut Vec<Action>) {
        for letter in self.open().filter(|letter| letter.probe_at <= now) {
            letter.probe(now, out);
        }
    }

    /// Reminds every receiver, because something may have been lost.
    pub(super) fn probe(&mut self, now: Millis, out: &mut Vec<Action>) {
        for letter in self.open() {
            letter.probe(now, out);
        }
    }

    /// Forgets what is of no use any more once `round` has begun.
    pub(super) fn forget_rounds_before(&mut self, round: u32) {
        self.letters.retain(|letter| letter.transfer.id().round >= round);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.letters.clear();
    }

    /// When [`Outbox::remind`] next has something to do.
    pub(super) fn wake_at(&self) -> Option<Millis> {
        self.letters.iter().filter(|letter| !letter.settled).map(|letter| letter.probe_at).min()
    }
}
