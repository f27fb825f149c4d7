//! Collect: updates come in until every selected device has a verdict, or the deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::identity::DeviceId;
use shared::wire::{
    Message, Millis, Missing, Outgoing, Publication, Receipt, Refusal, RoundCall, Stage, Telemetry, Topic,
    TransferId,
};

use super::{Action, Machine, Phase};

/// How long a transfer may stand still before what is missing is asked for.
const QUIET: Millis = Millis(2_000);
/// Devices that have sent nothing are told of the round again this many times before the deadline.
const REMINDERS: u64 = 8;
const SHORTEST_REMINDER: Millis = Millis(2_000);

/// A device that asks for pieces of the model again within this time goes without an answer: one small question can
/// call for the whole model.
const ANSWER_PAUSE: Millis = Millis(1_000);

/// A round that is open for updates.
#[derive(Debug)]
pub(super) struct Collect {
    call: RoundCall,
    model: Outgoing,
    closes: Millis,
    remind_at: Millis,
    remind_every: Millis,
    updates: BTreeMap<DeviceId, Update>,
    decided: BTreeSet<DeviceId>,
    /// When each device was last sent pieces of the model.
    answered: BTreeMap<DeviceId, Millis>,
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
    pub(super) fn new(call: RoundCall, model: Outgoing, now: Millis) -> Self {
        let time = Millis(u64::from(call.deadline_ms));
        let remind_every = Millis(time.0 / REMINDERS).max(SHORTEST_REMINDER);
        Collect {
            closes: now + time,
            remind_at: now + remind_every,
            remind_every,
            call,
            model,
            updates: BTreeMap::new(),
            decided: BTreeSet::new(),
            answered: BTreeMap::new(),
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

    /// Whether `device` is to be sent pieces of the model now; if so, that is noted.
    fn may_answer(&mut self, now: Millis, device: DeviceId) -> bool {
        let due = self.answered.get(&device).is_none_or(|&last| last + ANSWER_PAUSE <= now);
        if due {
            self.answered.insert(device, now);
        }
        due
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

    /// What has come in, in ascending order of device, and who is absent.
    pub(super) fn close(self) -> (RoundCall, Vec<(DeviceId, Update)>, Vec<DeviceId>) {
        let absent = self.undecided().collect();
        (self.call, self.updates.into_iter().collect(), absent)
    }
}

impl Machine {
    pub(super) fn collect(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Phase::Collect(collect) = &self.phase else { return };
        if collect.is_complete() || collect.closes <= now {
            return self.close_round(now, out);
        }
        for missing in self.incoming.stalled(now, QUIET) {
            let device = missing.id.device.filter(|device| !collect.is_decided(*device));
            out.extend(device.map(|device| self.tell(device, &Message::Missing(missing))));
        }
        let Phase::Collect(collect) = &mut self.phase else { return };
        if collect.remind_at <= now {
            collect.remind_at = now + collect.remind_every;
            let (silent, call): (Vec<_>, _) = (collect.undecided().collect(), collect.call.clone());
            out.extend(silent.into_iter().map(|device| self.remind(device, Stage::Round(call.clone()))));
        }
    }

    pub(super) fn collect_wakes_at(&self, collect: &Collect) -> Option<Millis> {
        [Some(collect.closes), Some(collect.remind_at), self.incoming.next_stall(QUIET)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Sends `device` the pieces of the global model that it lacks.
    pub(super) fn send_model(
        &mut self,
        now: Millis,
        device: DeviceId,
        missing: &Missing,
        out: &mut Vec<Action>,
    ) {
        let Phase::Collect(collect) = &mut self.phase else { return };
        if missing.id == collect.model.id() && collect.may_answer(now, device) {
            let chunks = collect.model.answer(missing).into_iter();
            out.extend(chunks.map(|chunk| self.tell(device, &Message::Chunk(chunk))));
        }
    }

    /// Decides on the update of `device`, once a round, and tells it.
    pub(super) fn decide(
        &mut self,
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
        out.push(self.acknowledge(device, id, refused));
    }

    pub(super) fn acknowledge(&self, device: DeviceId, id: TransferId, refused: Option<Refusal>) -> Action {
        self.tell(device, &Message::Receipt(Receipt { id, refused }))
    }

    pub(super) fn tell(&self, device: DeviceId, message: &Message) -> Action {
        Action::Publish(Publication::live(self.topics.name(Topic::Inbox(device)), message))
    }
}
