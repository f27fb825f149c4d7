//! Everything that arrives is checked here before it can influence the model.

use learning::parameters::first_not_finite;
use wire::identity::DeviceId;
use wire::{
    Chunk, Kind, Message, Millis, Missing, PROTOCOL_VERSION, Payload, Progress, Refusal, Status, Topic,
    TransferError, TransferId, UpdateContent, content_limit, decode,
};

use super::budgets::Admission;
use super::collect::Update;
use super::{Action, Machine, Phase};

impl Machine {
    pub(super) fn message(
        &mut self,
        now: Millis,
        topic: &str,
        payload: &Payload,
        retained: bool,
        out: &mut Vec<Action>,
    ) {
        let parsed = self.topics.parse(topic);
        if retained {
            return self.left_at_the_broker(parsed, payload);
        }
        let device = match parsed {
            Some(Topic::Status(device) | Topic::Update(device) | Topic::Ask(device)) => Some(device),
            _ => None,
        };
        let sender = device.filter(|device| self.roster.is_of_fleet(*device));
        match self.budgets.admit(now, sender, payload.len()) {
            Admission::Admitted => {}
            Admission::Dropped => return,
            Admission::MutedNow => {
                if let (Phase::Collect(collect), Some(device)) = (&mut self.phase, sender) {
                    collect.give_up(device);
                }
                return self.stop_listening_to(sender, out);
            }
        }
        let Some(device) = sender else {
            let detail = match device {
                Some(device) => format!("{device} is not of this fleet"),
                None => "a topic that no device has".to_owned(),
            };
            return self.ledger.refuse(None, None, Refusal::Unknown, &detail);
        };
        self.traffic.came_from(device, payload.len() as u64);
        let message = match payload.message() {
            Ok(message) => message,
            // An empty payload is how a retained message is deleted.
            Err(_) if payload.is_empty() => return,
            Err(error) => {
                return self.ledger.refuse(Some(device), None, error.refusal(), &error.to_string());
            }
        };
        match (parsed, message) {
            (Some(Topic::Status(_)), Message::Status(status)) => self.status(device, status, out),
            (Some(Topic::Update(_)), Message::Chunk(chunk)) => {
                self.roster.heard(device);
                self.update_chunk(now, device, chunk, out);
            }
            (Some(Topic::Ask(_)), Message::Missing(missing)) => {
                self.roster.heard(device);
                self.send_model(now, device, missing, out);
            }
            _ => self.ledger.refuse(Some(device), None, Refusal::Malformed, "a message of another topic"),
        }
    }

    /// What lay at the broker is no sign of life, and nobody's misdeed: it may be of an earlier run, of another fleet or of
    /// a device that is no more. Only a farewell is believed, of one that this aggregator knows.
    fn left_at_the_broker(&mut self, topic: Option<Topic>, payload: &Payload) {
        let Some(Topic::Status(device)) = topic else { return };
        if !self.roster.is_online(device) {
            return;
        }
        if let Ok(Message::Status(status)) = payload.message()
            && status.device == device
            && !status.online
        {
            // A farewell claims nothing that could be wrong.
            let _ = self.roster.enter(status);
        }
    }

    fn status(&mut self, device: DeviceId, status: &Status, out: &mut Vec<Action>) {
        let mut refuse = |reason, detail: &str| self.ledger.refuse(Some(device), None, reason, detail);
        if status.device != device {
            return refuse(Refusal::Impostor, "a status of another device");
        }
        if status.online && status.protocol != PROTOCOL_VERSION {
            let detail =
                format!("speaks protocol {}, not {PROTOCOL_VERSION}: update one end", status.protocol);
            refuse(Refusal::Malformed, &detail);
            self.roster.leave(device);
        } else if status.online && status.scenario != self.digest {
            refuse(Refusal::WrongRun, "holds another scenario; give both ends the same file");
            self.roster.leave(device);
        } else if let Err((reason, detail)) = self.roster.enter(status) {
            refuse(reason, &detail);
        } else if status.online && !status.hardware.is_unknown() {
            let (version, hardware) = (status.version.clone(), status.hardware.clone());
            out.push(Action::Describe { device, version, hardware });
        }
    }

    fn update_chunk(&mut self, now: Millis, device: DeviceId, chunk: &Chunk, out: &mut Vec<Action>) {
        let id = chunk.id;
        if id.device == Some(device) {
            if let Some(&refused) = self.verdicts.get(&id) {
                // The receipt was lost, or the piece was repeated on its way.
                return self.acknowledge(now, device, id, refused, out);
            }
            if self.is_about_to_be_called(&id) || self.was_decided_earlier(&id) {
                return;
            }
        }
        if let Err((reason, detail)) = self.may_send(device, &id) {
            self.ledger.refuse(Some(device), Some(id), reason, detail);
            if reason == Refusal::Late {
                // Its sender waits for a receipt, and would go on sending.
                self.acknowledge(now, device, id, Some(reason), out);
            }
            return;
        }
        let Phase::Collect(collect) = &self.phase else { return };
        if collect.is_decided(device) {
            let reason = Refusal::Duplicate;
            self.ledger.refuse(Some(device), Some(id), reason, "a second update in one round");
            return self.acknowledge(now, device, id, Some(reason), out);
        }
        match self.incoming.accept(now, Some(device), chunk.clone()) {
            Ok(Progress::Complete(content)) => self.update(now, device, id, &content, out),
            // What is missing is asked for when the transfer stands still, not for every repeated piece: its sender
            // would send the rest again while that is on its way.
            Ok(Progress::Incomplete | Progress::AlreadyHeld) => {}
            Err(error) => self.unusable_chunk(now, device, id, &error, out),
        }
    }

    /// Whether `id` is for the round that this process, started again in the middle of it, is about to call.
    fn is_about_to_be_called(&self, id: &TransferId) -> bool {
        let next = id.round.checked_sub(1) == Some(self.round);
        matches!(self.phase, Phase::Gather(_)) && next && id.run == self.run && id.kind == Kind::Update
    }

    /// Whether `id` is of the last round that an earlier process recorded. That one may have accepted it, and its receipt
    /// may be lost: so it is not late, and its sender hears of it no more than that another round is called.
    fn was_decided_earlier(&self, id: &TransferId) -> bool {
        let recorded = id.round > 0 && id.round == self.finished_before;
        recorded && id.run == self.run && id.kind == Kind::Update
    }

    /// Whether `device` may send the transfer `id` now.
    fn may_send(&self, device: DeviceId, id: &TransferId) -> Result<(), (Refusal, &'static str)> {
        if id.device != Some(device) {
            return Err((Refusal::Impostor, "an update in the name of another device"));
        }
        if id.kind != Kind::Update {
            return Err((Refusal::Malformed, "a transfer that is no update"));
        }
        if id.run != self.run {
            return Err((Refusal::WrongRun, "an update for another run"));
        }
        if id.round < self.round {
            return Err((Refusal::Late, "an update for a round that is over"));
        }
        if id.round > self.round {
            return Err((Refusal::WrongRound, "an update for a round that has not been called"));
        }
        match &self.phase {
            Phase::Collect(collect) if collect.is_selected(device) => Ok(()),
            Phase::Collect(_) => Err((Refusal::Unknown, "an update of a device that was not selected")),
            _ => Err((Refusal::Late, "an update after the deadline")),
        }
    }

    fn unusable_chunk(
        &mut self,
        now: Millis,
        device: DeviceId,
        id: TransferId,
        error: &TransferError,
        out: &mut Vec<Action>,
    ) {
        let reason = error.refusal();
        self.ledger.refuse(Some(device), Some(id), reason, &error.to_string());
        match error {
            TransferError::Corrupt { .. } if self.budgets.may_answer(now, device, &id) => {
                let all = Missing { id, chunks: Vec::new() };
                out.push(self.tell(device, &Message::Missing(all)));
            }
            TransferError::TooLarge { .. } => self.decide(now, device, id, Err(reason), out),
            _ => {}
        }
    }

    /// A whole update: the last checks, and the verdict.
    fn update(
        &mut self,
        now: Millis,
        device: DeviceId,
        id: TransferId,
        content: &[u8],
        out: &mut Vec<Action>,
    ) {
        let verdict = read_update(content, self.global.len());
        if let Err((reason, detail)) = &verdict {
            self.ledger.refuse(Some(device), Some(id), *reason, detail);
        }
        self.decide(now, device, id, verdict.map_err(|(reason, _)| reason), out);
    }
}

fn read_update(content: &[u8], dimension: usize) -> Result<Update, (Refusal, String)> {
    let UpdateContent { parameters, loss, train_us, telemetry } =
        decode(content, content_limit(dimension)).map_err(|error| (Refusal::Malformed, error.to_string()))?;
    let values = parameters.0;
    if values.len() != dimension {
        let detail = format!("{} parameters where the model has {dimension}", values.len());
        return Err((Refusal::WrongShape, detail));
    }
    if let Some(position) = first_not_finite(&values) {
        return Err((Refusal::NonFinite, format!("parameter {position} is {}", values[position])));
    }
    Ok(Update { parameters: values, loss, train_us, telemetry })
}
