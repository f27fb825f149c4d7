//! Collect: updates come in until every selected device has a verdict, or the deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::identity::DeviceId;
use wire::{
    Message, Millis, Missing, Outgoing, Publication, Receipt, Refusal, RoundCall, Stage, Telemetry, Topic,
    Topics, TransferId,
};

use super::{Action, Machine, Phase};

/// How long a transfer may stand still before what is missing is asked for.
const QUIET: Millis = Millis(2_000);
/// Devices that have sent nothing are told of the round again this many times before the deadline.
const REMINDERS: u64 = 8;
const SHORTEST_REMINDER: Millis = Millis(2_000);

/// A round that is open for updates.
#[derive(Debug)]
pub(super) struct Collect {
    call: RoundCall,
    model: Outgoing,
    /// Devices that were drawn and not called, because they are known to be Byzantine.
    known_byzantine: usize,
    closes: Millis,
    /// Whether nothing at all has come since the round was called, from nobody.
    silent: bool,
    remind_at: Millis,
    remind_every: Millis,
    updates: BTreeMap<DeviceId, Update>,
    /// Who has a verdict, or floods: nothing more is expected of them.
    decided: BTreeSet<DeviceId>,
}

/// Who was selected in a round that is closed, and sent no acceptable update.
pub(super) struct Missed {
    pub(super) selected: Arc<[DeviceId]>,
    /// Those without a verdict, in ascending order.
    pub(super) absent: Vec<DeviceId>,
    /// Those whose update was refused for good, or who flooded.
    pub(super) refused: Vec<DeviceId>,
    /// How many of those who were drawn have shown themselves Byzantine and have no update.
    pub(super) known_byzantine: usize,
}

/// An accepted update.
#[derive(Clone, Debug)]
pub(super) struct Update {
    /// The local model, length d, all finite.
    pub(super) parameters: Arc<[f32]>,
    pub(super) loss: f32,
    pub(super) train_us: u64,
    pub(super) telemetry: Telemetry,
}

impl Collect {
    pub(super) fn new(call: RoundCall, model: Outgoing, known_byzantine: usize, now: Millis) -> Self {
        let time = Millis(u64::from(call.deadline_ms));
        let remind_every = Millis(time.0 / REMINDERS).max(SHORTEST_REMINDER);
        Collect {
            closes: now + time,
            silent: true,
            remind_at: now + remind_every,
            remind_every,
            call,
            model,
            known_byzantine,
            updates: BTreeMap::new(),
            decided: BTreeSet::new(),
        }
    }

    pub(super) fn call(&self) -> &RoundCall {
        &self.call
    }

    pub(super) fn is_selected(&self, device: DeviceId) -> bool {
        self.call.selected.binary_search(&device).is_ok()
    }

    pub(super) fn is_decided(&self, device: DeviceId) -> bool {
        self.decided.contains(&device)
    }

    /// Something has arrived.
    pub(super) fn hears(&mut self) {
        self.silent = false;
    }

    /// The connection is there again: where nothing has come so far, nobody could send, and time begins anew.
    pub(super) fn goes_on(&mut self, now: Millis) {
        if self.silent {
            self.closes = now + Millis(u64::from(self.call.deadline_ms));
        }
    }

    /// Nothing more is expected of `device`.
    pub(super) fn give_up(&mut self, device: DeviceId) {
        if self.is_selected(device) {
            self.decided.insert(device);
        }
    }

    /// Whether nobody has a verdict yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.decided.is_empty()
    }

    fn is_complete(&self) -> bool {
        self.decided.len() >= self.call.selected.len()
    }

    fn undecided(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.call.selected.iter().copied().filter(|device| !self.is_decided(*device))
    }

    /// What has come in, in ascending order of device, and who sent none.
    pub(super) fn close(self) -> (Vec<(DeviceId, Update)>, Missed) {
        let absent = self.undecided().collect();
        let without = self.decided.iter().filter(|device| !self.updates.contains_key(device));
        let refused: Vec<_> = without.copied().collect();
        let known_byzantine = self.known_byzantine + refused.len();
        let missed = Missed { selected: self.call.selected, absent, refused, known_byzantine };
        (self.updates.into_iter().collect(), missed)
    }
}

impl Machine {
    pub(super) fn collect(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Phase::Collect(collect) = &self.phase else { return };
        if collect.is_complete() || self.closes_at(collect) <= now {
            return self.close_round(now, out);
        }
        // Asked for every message: only what is due is looked at.
        for missing in self.incoming.stalled(now, QUIET) {
            let Some(device) = missing.id.device.filter(|device| !collect.is_decided(*device)) else {
                continue;
            };
            if self.budgets.may_answer(now, device, &missing.id) {
                out.push(tell(&self.topics, device, &Message::Missing(missing)));
            }
        }
        let Phase::Collect(collect) = &mut self.phase else { return };
        if collect.remind_at <= now {
            collect.remind_at = now + collect.remind_every;
            let (silent, call): (Vec<_>, _) = (collect.undecided().collect(), collect.call.clone());
            out.extend(self.remind(silent, Stage::Round(call)));
        }
    }

    pub(super) fn collect_wakes_at(&self, collect: &Collect) -> Option<Millis> {
        [Some(self.closes_at(collect)), Some(collect.remind_at), self.incoming.next_stall(QUIET)]
            .into_iter()
            .flatten()
            .min()
    }

    /// A round in which nothing at all has arrived, from nobody, may be one of a connection that is dead and not yet known
    /// to be: it stays open until that would be known.
    fn closes_at(&self, collect: &Collect) -> Millis {
        if collect.silent { collect.closes + self.silence } else { collect.closes }
    }

    /// Sends `device` the pieces of the global model that it lacks.
    pub(super) fn send_model(
        &mut self,
        now: Millis,
        device: DeviceId,
        missing: &Missing,
        out: &mut Vec<Action>,
    ) {
        let Phase::Collect(collect) = &self.phase else { return };
        if missing.id == collect.model.id() && self.budgets.may_answer(now, device, &missing.id) {
            let chunks = collect.model.answer(missing).into_iter();
            out.extend(chunks.map(|chunk| self.tell(device, &Message::Chunk(chunk))));
        }
    }

    /// Decides on the update of `device`, once a round, and tells it.
    pub(super) fn decide(
        &mut self,
        now: Millis,
        device: DeviceId,
        id: TransferId,
        verdict: Result<Update, Refusal>,
        out: &mut Vec<Action>,
    ) {
        let Phase::Collect(collect) = &mut self.phase else { return };
        let refused = verdict.as_ref().err().copied();
        out.extend(
            verdict
                .as_ref()
                .ok()
                .map(|update| Action::Take { round: id.round, update: update.parameters.clone() }),
        );
        collect.decided.insert(device);
        collect.updates.extend(verdict.ok().map(|update| (device, update)));
        self.verdicts.insert(id, refused);
        self.budgets.answers(now, device, &id);
        out.push(self.tell(device, &Message::Receipt(Receipt { id, refused })));
    }

    /// Tells `device` what became of `id`, unless it has just been told.
    pub(super) fn acknowledge(
        &mut self,
        now: Millis,
        device: DeviceId,
        id: TransferId,
        refused: Option<Refusal>,
        out: &mut Vec<Action>,
    ) {
        if self.budgets.may_answer(now, device, &id) {
            out.push(self.tell(device, &Message::Receipt(Receipt { id, refused })));
        }
    }

    pub(super) fn tell(&self, device: DeviceId, message: &Message) -> Action {
        tell(&self.topics, device, message)
    }
}

fn tell(topics: &Topics, device: DeviceId, message: &Message) -> Action {
    Action::Publish(Publication::live(topics.name(Topic::Inbox(device)), message))
}
