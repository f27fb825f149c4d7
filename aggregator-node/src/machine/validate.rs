//! Everything that arrives is checked here before it can influence the model.

use learning::parameters::first_not_finite;
use wire::identity::DeviceId;
use wire::{
    Chunk, Kind, Message, Missing, PROTOCOL_VERSION, Payload, Receipt, Refusal, Status, Topic, TransferId,
    UpdateContent, content_limit, decode,
};

use super::Action;
use super::budgets::Admission;
use super::collect::Update;
use super::common::Common;

/// Why something is refused.
pub(super) type Refused = (Refusal, &'static str);

/// What is left of a message for the phase to answer.
#[derive(Clone, Copy)]
pub(super) enum Heard<'a> {
    /// Nothing more is read of the device, which floods.
    Flood(DeviceId),
    /// The device sends a piece of an update.
    Update(DeviceId, &'a Chunk),
    /// The device lacks pieces of the global model.
    Question(DeviceId, &'a Missing),
}

impl Common {
    /// Takes a message, as far as that is the same in every phase.
    pub(super) fn message<'a>(
        &mut self,
        topic: &str,
        payload: &'a Payload,
        retained: bool,
        out: &mut Vec<Action>,
    ) -> Option<Heard<'a>> {
        self.traffic.up(payload.len() as u64);
        let parsed = self.topics.parse(topic);
        if retained {
            self.left_at_the_broker(parsed, payload);
            return None;
        }
        let device = match parsed {
            Some(Topic::Status(device) | Topic::Update(device) | Topic::Ask(device)) => Some(device),
            _ => None,
        };
        let sender = device.filter(|device| self.roster.is_of_fleet(*device));
        match self.budgets.admit(self.now, sender, payload.len()) {
            Admission::Admitted => {}
            Admission::Dropped => return None,
            Admission::MutedNow => {
                self.stop_listening_to(sender, out);
                return sender.map(Heard::Flood);
            }
        }
        let Some(device) = sender else {
            let detail = match device {
                Some(device) => format!("{device} is not of this fleet"),
                None => "a topic that no device has".to_owned(),
            };
            self.ledger.refuse(None, None, Refusal::Unknown, &detail);
            return None;
        };
        self.traffic.came_from(device, payload.len() as u64);
        match (parsed, payload.message()) {
            (Some(Topic::Status(_)), Ok(Message::Status(status))) => self.status(device, status, out),
            (Some(Topic::Update(_)), Ok(Message::Chunk(chunk))) => {
                self.roster.heard(device);
                return Some(Heard::Update(device, chunk));
            }
            (Some(Topic::Ask(_)), Ok(Message::Missing(missing))) => {
                self.roster.heard(device);
                return Some(Heard::Question(device, missing));
            }
            (_, Ok(_)) => {
                self.ledger.refuse(Some(device), None, Refusal::Malformed, "a message of another topic");
            }
            // An empty payload is how a retained message is deleted.
            (_, Err(_)) if payload.is_empty() => {}
            (_, Err(error)) => self.ledger.refuse(Some(device), None, error.refusal(), &error.to_string()),
        }
        None
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

    /// Whether `device` may send the transfer `id` now, where `in_round` is the answer to an update for the round that was
    /// called last. If not, that is entered, and its sender told what it waits for, unless it has just been told.
    pub(super) fn may_send(
        &mut self,
        device: DeviceId,
        id: TransferId,
        in_round: Result<(), Refused>,
        out: &mut Vec<Action>,
    ) -> bool {
        let refused = match self.verdicts.get(&id).filter(|_| id.device == Some(device)) {
            // The receipt was lost, or the piece was repeated on its way.
            Some(refused) => *refused,
            None if self.was_decided_earlier(device, &id) => return false,
            None => {
                let Err((reason, detail)) = self.is_in_round(device, &id).and(in_round) else { return true };
                self.ledger.refuse(Some(device), Some(id), reason, detail);
                if !matches!(reason, Refusal::Late | Refusal::Duplicate) {
                    return false;
                }
                // Its sender waits for a receipt, and would go on sending.
                Some(reason)
            }
        };
        if self.budgets.may_answer(self.now, device, &id) {
            out.push(self.tell(device, &Message::Receipt(Receipt { id, refused })));
        }
        false
    }

    /// Whether `id` is for the round that this process, started again in the middle of it, is about to call.
    pub(super) fn is_about_to_be_called(&self, device: DeviceId, id: &TransferId) -> bool {
        self.is_update(device, id, self.round + 1)
    }

    /// Whether `id` is of the last round that an earlier process recorded. That one may have accepted it, and its receipt
    /// may be lost: so it is not late, and its sender hears of it no more than that another round is called.
    fn was_decided_earlier(&self, device: DeviceId, id: &TransferId) -> bool {
        self.finished_before > 0 && self.is_update(device, id, self.finished_before)
    }

    fn is_update(&self, device: DeviceId, id: &TransferId, round: u32) -> bool {
        (id.device, id.run, id.kind, id.round) == (Some(device), self.run, Kind::Update, round)
    }

    /// Whether the transfer `id` of `device` is an update for the round that was called last.
    fn is_in_round(&self, device: DeviceId, id: &TransferId) -> Result<(), Refused> {
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
        Ok(())
    }
}

/// The last checks, of a whole update for a model of so many parameters.
pub(super) fn read_update(content: &[u8], dimension: usize) -> Result<Update, (Refusal, String)> {
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
