//! Collect: updates come in until every selected device has a verdict, or the deadline.
//!
//! A broker that ends may deliver the last wills one by one before it closes the connection. A round opened in between lacks
//! some of the fleet, and no device hears of it: it is called anew when the connection is back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use learning::training::mean_loss;
use record::RoundRecord;
use tracing::{info, warn};
use wire::identity::DeviceId;
use wire::{
    Chunk, Message, Millis, Missing, Outgoing, Progress, Receipt, Refusal, RoundCall, RunStage, Telemetry,
    TransferError, TransferId,
};

use super::Action;
use super::common::{Common, Present};
use super::conclude::Closed;
use super::validate::{Heard, Refused, read_update};

/// How long a transfer may stand still before what is missing is asked for.
const QUIET: Millis = Millis(2_000);
/// Devices that have sent nothing are told of the round again this many times before the deadline.
const REMINDERS: u64 = 8;
const SHORTEST_REMINDER: Millis = Millis(2_000);

/// A round that is open for updates.
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

/// An accepted update.
pub(super) struct Update {
    /// The local model, length d, all finite.
    pub(super) parameters: Arc<[f32]>,
    pub(super) loss: f32,
    pub(super) train_us: u64,
    pub(super) telemetry: Telemetry,
}

impl Collect {
    /// Opens the next round for those who are `present`.
    pub(super) fn open(common: &mut Common, present: Present, out: &mut Vec<Action>) -> Self {
        let (call, model) = common.open_round(present.devices, out);
        let time = Millis(u64::from(call.deadline_ms));
        let remind_every = Millis(time.0 / REMINDERS).max(SHORTEST_REMINDER);
        Collect {
            closes: common.now + time,
            silent: true,
            remind_at: common.now + remind_every,
            remind_every,
            call,
            model,
            known_byzantine: present.known_byzantine,
            updates: BTreeMap::new(),
            decided: BTreeSet::new(),
        }
    }

    pub(super) fn wake_at(&self, common: &Common) -> Option<Millis> {
        [Some(self.closes_at(common)), Some(self.remind_at), common.incoming.next_stall(QUIET)]
            .into_iter()
            .flatten()
            .min()
    }

    /// The connection is there again. True if the broker ended as the round was opened, so that it must be called anew;
    /// whoever missed it is then waited for.
    pub(super) fn is_void(&self, common: &mut Common) -> bool {
        common.roster.wait_for(self.call.selected.iter().copied());
        let missed_out = common.roster.left_before_the_round() & &common.scenario.selection(common.round);
        if !self.decided.is_empty() || missed_out.is_empty() {
            return false;
        }
        info!("round {} is called anew: the broker ended as it was opened", common.round);
        common.roster.wait_for(missed_out);
        true
    }

    /// Says again where the run stands, to a broker that may have forgotten. Where nothing has come so far, nobody could
    /// send, and time begins anew.
    pub(super) fn goes_on(&mut self, common: &Common, out: &mut Vec<Action>) {
        if self.silent {
            self.closes = common.now + Millis(u64::from(self.call.deadline_ms));
        }
        out.push(common.announce(RunStage::Round(self.call.clone())));
    }

    /// Something has arrived.
    pub(super) fn hear(&mut self, common: &mut Common, heard: Option<Heard<'_>>, out: &mut Vec<Action>) {
        self.silent = false;
        match heard {
            Some(Heard::Flood(device)) if self.is_selected(device) => {
                self.decided.insert(device);
            }
            Some(Heard::Update(device, chunk)) => self.update(common, device, chunk, out),
            Some(Heard::Question(device, missing)) => self.send_model(common, device, missing, out),
            Some(Heard::Flood(_)) | None => {}
        }
    }

    /// Whether the round takes no more updates.
    pub(super) fn is_over(&self, common: &Common) -> bool {
        self.decided.len() >= self.call.selected.len() || self.closes_at(common) <= common.now
    }

    /// Asks for what is due. That is looked at for every message.
    pub(super) fn advance(&mut self, common: &mut Common, out: &mut Vec<Action>) {
        for missing in common.incoming.stalled(common.now, QUIET) {
            let Some(device) = missing.id.device.filter(|device| !self.decided.contains(device)) else {
                continue;
            };
            if common.budgets.may_answer(common.now, device, &missing.id) {
                out.push(common.tell(device, &Message::Missing(missing)));
            }
        }
        if self.remind_at <= common.now {
            self.remind_at = common.now + self.remind_every;
            out.extend(common.remind(self.undecided().collect(), RunStage::Round(self.call.clone())));
        }
    }

    /// Closes the round, with what has come in, in ascending order of device.
    pub(super) fn close(self, common: &mut Common) -> (Closed, Vec<(DeviceId, Update)>) {
        let absent: Vec<_> = self.undecided().collect();
        if !absent.is_empty() {
            let names: Vec<_> = absent.iter().map(ToString::to_string).collect();
            warn!("round {}: nothing in time from {}", common.round, names.join(", "));
        }
        absent.iter().for_each(|device| common.roster.was_absent(*device));
        // For good, or because they flooded.
        let refused = self.decided.iter().filter(|device| !self.updates.contains_key(device));
        let known_byzantine = self.known_byzantine + refused.clone().count();
        refused.for_each(|device| common.roster.was_refused(*device));
        let updates: Vec<_> = self.updates.into_iter().collect();
        let accepted: Vec<_> = updates.iter().map(|(device, _)| *device).collect();
        let (train_loss, losses_ignored) = mean_loss(updates.iter().map(|(_, update)| update.loss));
        let record = RoundRecord {
            round: common.round,
            selected: self.call.selected.len() as u32,
            absent,
            train_loss,
            losses_ignored,
            devices: common.traffic.devices(&updates),
            shards: common.roster.trained(accepted.iter().copied()),
            ..RoundRecord::default()
        };
        (Closed { record, accepted, known_byzantine }, updates)
    }

    /// A round in which nothing at all has arrived, from nobody, may be one of a connection that is dead and not yet known
    /// to be: it stays open until that would be known.
    fn closes_at(&self, common: &Common) -> Millis {
        if self.silent { self.closes + common.silence } else { self.closes }
    }

    fn is_selected(&self, device: DeviceId) -> bool {
        self.call.selected.binary_search(&device).is_ok()
    }

    fn undecided(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.call.selected.iter().copied().filter(|device| !self.decided.contains(device))
    }

    /// Whether `device` may send an update for this round.
    fn may_send(&self, device: DeviceId) -> Result<(), Refused> {
        if !self.is_selected(device) {
            return Err((Refusal::Unknown, "an update of a device that was not selected"));
        }
        if self.decided.contains(&device) {
            return Err((Refusal::Duplicate, "a second update in one round"));
        }
        Ok(())
    }

    /// A piece of an update; when it is whole, that is checked and decided on.
    fn update(&mut self, common: &mut Common, device: DeviceId, chunk: &Chunk, out: &mut Vec<Action>) {
        let id = chunk.id;
        if !common.may_send(device, id, self.may_send(device), out) {
            return;
        }
        match common.incoming.accept(common.now, Some(device), chunk.clone()) {
            Ok(Progress::Complete(content)) => {
                let verdict = read_update(&content, common.global.len());
                if let Err((reason, detail)) = &verdict {
                    common.ledger.refuse(Some(device), Some(id), *reason, detail);
                }
                self.decide(common, device, id, verdict.map_err(|(reason, _)| reason), out);
            }
            // What is missing is asked for when the transfer stands still, not for every repeated piece: its sender
            // would send the rest again while that is on its way.
            Ok(Progress::Incomplete | Progress::AlreadyHeld) => {}
            Err(error) => {
                let reason = error.refusal();
                common.ledger.refuse(Some(device), Some(id), reason, &error.to_string());
                match error {
                    TransferError::Corrupt { .. } if common.budgets.may_answer(common.now, device, &id) => {
                        let all = Missing { id, chunks: Vec::new() };
                        out.push(common.tell(device, &Message::Missing(all)));
                    }
                    TransferError::TooLarge { .. } => self.decide(common, device, id, Err(reason), out),
                    _ => {}
                }
            }
        }
    }

    /// Decides on the update of `device`, once a round, and tells it.
    fn decide(
        &mut self,
        common: &mut Common,
        device: DeviceId,
        id: TransferId,
        verdict: Result<Update, Refusal>,
        out: &mut Vec<Action>,
    ) {
        let refused = verdict.as_ref().err().copied();
        self.decided.insert(device);
        if let Ok(update) = verdict {
            out.push(Action::Take { round: id.round, update: update.parameters.clone() });
            self.updates.insert(device, update);
        }
        common.verdicts.insert(id, refused);
        common.budgets.answers(common.now, device, &id);
        out.push(common.tell(device, &Message::Receipt(Receipt { id, refused })));
    }

    /// Sends `device` the pieces of the global model that it lacks.
    fn send_model(&self, common: &mut Common, device: DeviceId, missing: &Missing, out: &mut Vec<Action>) {
        if missing.id == self.model.id() && common.budgets.may_answer(common.now, device, &missing.id) {
            let chunks = self.model.answer(missing).into_iter();
            out.extend(chunks.map(|chunk| common.tell(device, &Message::Chunk(chunk))));
        }
    }
}
