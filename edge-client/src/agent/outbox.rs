//! What has been sent and not yet been acknowledged by the application at the other end.

use wire::{Chunk, Kind, Message, Millis, Missing, Outgoing, Publication, TransferId};

use super::Action;

const FIRST_PAUSE: Millis = Millis(2_000);
const LONGEST_PAUSE: Millis = Millis(16_000);
/// Among colluders, who have but a part of a round for what goes to and fro between them.
const LONGEST_PAUSE_AMONG_COLLUDERS: Millis = FIRST_PAUSE;
/// How often at most an update is sent again to whom it was not sent.
const TAP_PAUSE: Millis = Millis(1_000);

/// Transfers on their way. MQTT's acknowledgement only says that the broker has them; they stay here until the
/// receiver's own receipt. Where that does not come, the first chunk is sent once more: the receiver answers it
/// with a receipt, or with what it lacks.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pending: Vec<PendingTransfer>,
}

#[derive(Debug)]
struct PendingTransfer {
    topic: String,
    transfer: Outgoing,
    /// Whether its last chunk is held back.
    is_unfinished: bool,
    /// The receiver has it. Kept all the same until the next round: an aggregator that is killed loses what it had
    /// acknowledged in the round it was in.
    settled: bool,
    /// When it was sent, or the receiver last asked for some of it.
    since: Millis,
    probe_at: Millis,
    pause: Millis,
    /// When it may be sent again to whoever reads along.
    tap_at: Millis,
}

impl PendingTransfer {
    fn publish(&self, chunk: Chunk) -> Option<Action> {
        let is_held_back = self.is_unfinished && chunk.index + 1 == chunk.count;
        let publication = || Publication::live(self.topic.clone(), &Message::Chunk(chunk));
        (!is_held_back).then(|| Action::Publish(publication()))
    }

    fn probe(&mut self, now: Millis, out: &mut Vec<Action>) {
        out.extend(self.transfer.chunk(0).and_then(|chunk| self.publish(chunk)));
        let longest = match self.transfer.id().kind {
            Kind::BeforeAttack | Kind::Crafted => LONGEST_PAUSE_AMONG_COLLUDERS,
            Kind::Model | Kind::Update => LONGEST_PAUSE,
        };
        self.pause = (self.pause + self.pause).min(longest);
        self.probe_at = now + self.pause;
    }
}

impl Outbox {
    /// Sends all of `transfer` to `topic`, and keeps it.
    pub(super) fn post(&mut self, now: Millis, topic: String, transfer: Outgoing, out: &mut Vec<Action>) {
        self.keep(now, topic, transfer, false, out);
    }

    /// Sends all of the update `transfer` to `topic` but the last chunk, which is kept back whoever asks for it; other
    /// updates are forgotten.
    pub(super) fn post_unfinished(
        &mut self,
        now: Millis,
        topic: String,
        transfer: Outgoing,
        out: &mut Vec<Action>,
    ) {
        self.pending.retain(|pending| pending.transfer.id().kind != Kind::Update);
        self.keep(now, topic, transfer.in_pieces(2), true, out);
    }

    /// Sends so many messages with chunks of what was posted last, one after the other and then anew.
    pub(super) fn repeat(&self, messages: u32, out: &mut Vec<Action>) {
        let Some(last) = self.pending.last() else { return };
        let chunks: Vec<_> = last.transfer.chunks().map(Message::Chunk).collect();
        // Each is encoded once: they share its bytes.
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Publication::live(last.topic.clone(), chunk)).collect();
        out.extend(chunks.iter().cycle().take(messages as usize).cloned().map(Action::Publish));
    }

    fn keep(
        &mut self,
        now: Millis,
        topic: String,
        transfer: Outgoing,
        is_unfinished: bool,
        out: &mut Vec<Action>,
    ) {
        self.pending.retain(|pending| pending.transfer.id() != transfer.id());
        let pending = PendingTransfer {
            topic,
            transfer,
            is_unfinished,
            settled: false,
            since: now,
            probe_at: now + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            tap_at: now,
        };
        out.extend(pending.transfer.chunks().filter_map(|chunk| pending.publish(chunk)));
        self.pending.push(pending);
    }

    /// The receiver has acknowledged a transfer. True if it was one from here.
    pub(super) fn settle(&mut self, id: &TransferId) -> bool {
        let pending = self.pending.iter_mut().find(|pending| pending.transfer.id() == *id);
        pending.map(|pending| pending.settled = true).is_some()
    }

    /// The receiver has forgotten everything.
    pub(super) fn unsettle(&mut self, now: Millis) {
        for pending in &mut self.pending {
            (pending.settled, pending.since) = (false, now);
        }
    }

    fn open(&mut self) -> impl Iterator<Item = &mut PendingTransfer> {
        self.pending.iter_mut().filter(|pending| !pending.settled)
    }

    /// Sends what the receiver lacks.
    pub(super) fn answer(&mut self, now: Millis, missing: &Missing, out: &mut Vec<Action>) {
        for pending in self.pending.iter_mut().filter(|pending| pending.transfer.id() == missing.id) {
            out.extend(
                pending.transfer.answer(missing).into_iter().filter_map(|chunk| pending.publish(chunk)),
            );
            (pending.since, pending.probe_at) = (now, now + pending.pause);
        }
    }

    /// What has been without an answer for longest, and since when.
    pub(super) fn awaited(&self) -> Option<(Millis, TransferId)> {
        let open = self.pending.iter().filter(|pending| !pending.settled);
        open.map(|pending| (pending.since, pending.transfer.id())).min()
    }

    /// Sends the update of a round again where it went, for who reads along and lacks some of it: by its own name, for
    /// of an update of which nothing came nobody knows the digest.
    pub(super) fn answer_tap(&mut self, now: Millis, missing: &Missing, out: &mut Vec<Action>) {
        let asked = |pending: &&mut PendingTransfer| {
            let TransferId { run, round, kind, .. } = pending.transfer.id();
            (run, round, kind) == (missing.id.run, missing.id.round, Kind::Update) && pending.tap_at <= now
        };
        if let Some(pending) = self.pending.iter_mut().find(asked) {
            pending.tap_at = now + TAP_PAUSE;
            let missing = Missing { id: pending.transfer.id(), chunks: missing.chunks.clone() };
            out.extend(
                pending.transfer.answer(&missing).into_iter().filter_map(|chunk| pending.publish(chunk)),
            );
        }
    }

    /// Reminds receivers that have been silent for too long.
    pub(super) fn remind(&mut self, now: Millis, out: &mut Vec<Action>) {
        for pending in self.open().filter(|pending| pending.probe_at <= now) {
            pending.probe(now, out);
        }
    }

    /// Reminds every receiver, because something may have been lost.
    pub(super) fn probe(&mut self, now: Millis, out: &mut Vec<Action>) {
        for pending in self.open() {
            pending.probe(now, out);
        }
    }

    /// Forgets what is of no use any more once `round` has begun.
    pub(super) fn forget_rounds_before(&mut self, round: u32) {
        self.pending.retain(|pending| pending.transfer.id().round >= round);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// When [`Outbox::remind`] next has something to do.
    pub(super) fn wake_at(&self) -> Option<Millis> {
        self.pending.iter().filter(|pending| !pending.settled).map(|pending| pending.probe_at).min()
    }
}
