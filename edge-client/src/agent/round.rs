//! One round on a device: fetch the model, train, collude where designated, deliver.

use std::sync::Arc;

use learning::random::{Purpose, stream};
use scenario::attack_record::AttackStep;
use scenario::attacks::Delivery;
use tracing::debug;
use wire::identity::Digest;
use wire::{
    Blob, Chunk, Float32Array, Kind, Message, Millis, Missing, Outgoing, Progress, Publication, RoundCall,
    Topic, TransferId, UpdateContent,
};

use super::{Action, Agent};
use crate::worker::{Job, Trained};

/// How long the model's chunks may be quiet before the missing ones are asked for.
const QUIET: Millis = Millis(1_000);
const LONGEST_QUIET: Millis = Millis(8_000);

/// The round that a device is in.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) call: RoundCall,
    pub(super) opened: Millis,
    /// Start of the aggregator that called it last.
    term: u64,
    selected: bool,
    pub(super) stage: RoundStage,
}

#[derive(Debug)]
pub(super) enum RoundStage {
    /// Some of the global model is missing.
    Fetching {
        ask_at: Millis,
        pause: Millis,
        /// When the last piece of it came.
        heard: Millis,
    },
    /// The worker trains.
    Training,
    /// What was trained waits for what the accomplices make of it.
    Colluding { trained: Trained, since: Millis, until: Millis },
    /// The update is there, and is held back until some of the round's time has passed; or an attack sends it once more
    /// then.
    Holding(Held),
    /// The update is in the outbox or was acknowledged, or none is wanted of this device.
    Delivered,
}

/// An update that waits to be sent.
#[derive(Debug)]
pub(super) struct Held {
    round: u32,
    /// The number of the round that it is sent for: another one if an attack has it so.
    number: u32,
    content: UpdateContent,
    delivery: Delivery,
    sends: Option<AttackStep>,
    until: Millis,
}

impl Held {
    /// When it is to be sent.
    pub(super) fn due(&self) -> Millis {
        self.until
    }

    /// What is sent after it, where an attack begins again and again.
    fn again(&self, now: Millis) -> Option<Self> {
        let Delivery::Unfinished { restart_seconds } = self.delivery else { return None };
        // Another time of training makes it another transfer.
        let content =
            UpdateContent { train_us: self.content.train_us.wrapping_add(1), ..self.content.clone() };
        Some(Held { content, until: now + Millis(1_000 * u64::from(restart_seconds)), ..*self })
    }
}

impl Round {
    pub(super) fn wake_at(&self) -> Option<Millis> {
        match self.stage {
            RoundStage::Fetching { ask_at, .. } => Some(ask_at),
            RoundStage::Colluding { until, .. } | RoundStage::Holding(Held { until, .. }) => Some(until),
            RoundStage::Training | RoundStage::Delivered => None,
        }
    }

    /// Whether an update is still to come of it.
    pub(super) fn is_open(&self) -> bool {
        self.selected && !matches!(self.stage, RoundStage::Delivered)
    }

    /// The instant at which `percent` of the time for this round has passed.
    pub(super) fn share_of_time(&self, percent: u64) -> Millis {
        self.opened + Millis(u64::from(self.call.deadline_ms) * percent / 100)
    }
}

impl Agent {
    pub(super) fn round_called(&mut self, now: Millis, call: &RoundCall, out: &mut Vec<Action>) {
        let term = self.term;
        // Since it called the round that this device is in; a roll call may have come between.
        let restarted = self.round.as_ref().is_some_and(|current| current.term < term);
        if let Some(current) = &mut self.round {
            if current.call == *call {
                // Said again to whoever missed it. An update that is still unacknowledged may be what is missed; one
                // that an earlier start of the aggregator had acknowledged surely is.
                if restarted {
                    (current.term, current.opened) = (term, now);
                    self.outbox.unsettle(now);
                }
                return self.outbox.probe(now, out);
            }
            if call.round < current.call.round && !restarted {
                return; // overtaken
            }
        }
        let held = self.round.take().map(|current| current.stage);
        if let Some(RoundStage::Holding(held @ Held { delivery: Delivery::After(_), .. })) = held {
            self.overdue = Some(held);
        }
        if restarted {
            // It may go on from an earlier round: what is remembered of this one and later ones will come again.
            self.forget_rounds();
        }
        self.outbox.forget_rounds_before(call.round);
        self.incoming.forget_rounds_before(call.round);
        if let Some(collusion) = &mut self.collusion {
            collusion.open(now, call);
        }
        self.listen_if_leading(out);
        let selected = call.selected.contains(&self.me.device);
        // A leader may have to craft for others in a round that it is not selected for.
        let stage = if selected || self.collusion.is_some() {
            RoundStage::Fetching { ask_at: now + QUIET, pause: QUIET, heard: now }
        } else {
            RoundStage::Delivered
        };
        self.round = Some(Round { call: call.clone(), opened: now, term, selected, stage });
        self.model_at_hand(now, out);
    }

    pub(super) fn model_chunk(&mut self, now: Millis, chunk: Chunk, out: &mut Vec<Action>) {
        let id = chunk.id;
        let current = self.round.as_ref().map_or(0, |round| round.call.round);
        let known = self.model.as_ref().is_some_and(|(digest, _)| *digest == id.blake3);
        if id.kind != Kind::Model || Some(id.run) != self.run || id.round < current || known {
            return;
        }
        match self.incoming.accept(now, None, chunk) {
            Ok(Progress::Complete(content)) => match self.read_model(&content) {
                Ok(parameters) => {
                    self.model = Some((id.blake3, parameters));
                    self.model_at_hand(now, out);
                }
                Err(what) => {
                    self.trouble(&format!("round {}: the global model is unusable: {what}", id.round));
                }
            },
            Ok(Progress::Incomplete) => {
                if let Some(Round { stage: RoundStage::Fetching { ask_at, pause, heard }, .. }) =
                    &mut self.round
                {
                    (*ask_at, *heard) = (now + *pause, now);
                }
            }
            Ok(Progress::AlreadyHeld) => {}
            Err(error) => debug!("a piece of the model is unusable: {error}"),
        }
    }

    fn read_model(&self, content: &Blob) -> Result<Arc<[f32]>, String> {
        let model = content.model(self.dimension).map_err(|error| error.to_string())?;
        let values = &model.parameters.0;
        if values.len() == self.dimension {
            Ok(values.clone())
        } else {
            Err(format!("{} parameters where the scenario's model has {}", values.len(), self.dimension))
        }
    }

    /// The global model of the round, once it is here.
    pub(super) fn global(&self) -> Option<Arc<[f32]>> {
        let wanted = self.round.as_ref()?.call.model.blake3;
        self.model.as_ref().filter(|(digest, _)| *digest == wanted).map(|(_, model)| model.clone())
    }

    fn model_at_hand(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Some(global) = self.global() else { return };
        let (Some(round), Some(run)) = (&mut self.round, self.run) else { return };
        if !matches!(round.stage, RoundStage::Fetching { .. }) {
            return;
        }
        if round.selected {
            round.stage = RoundStage::Training;
            out.push(Action::Compute(Job::Train { run, round: round.call.round, global }));
        } else {
            round.stage = RoundStage::Delivered;
        }
        self.craft_if_ready(now, out);
    }

    pub(super) fn ask_for_model(&mut self, now: Millis, out: &mut Vec<Action>) {
        let (Some(round), Some(run)) = (&mut self.round, self.run) else { return };
        let RoundStage::Fetching { ask_at, pause, .. } = &mut round.stage else { return };
        if *ask_at > now {
            return;
        }
        *pause = (*pause + *pause).min(LONGEST_QUIET);
        *ask_at = now + *pause;
        let blake3: Digest = round.call.model.blake3;
        let id = TransferId { run, round: round.call.round, kind: Kind::Model, device: None, blake3 };
        let missing = self.incoming.missing(&id).unwrap_or(Missing { id, chunks: Vec::new() });
        let topic = self.topics.name(Topic::Ask(self.me.device));
        out.push(Action::Publish(Publication::live(topic, &Message::Missing(missing))));
    }

    pub(super) fn trained(&mut self, now: Millis, trained: Trained, out: &mut Vec<Action>) {
        let Some(round) = &mut self.round else { return };
        if round.call.round != trained.round || !matches!(round.stage, RoundStage::Training) {
            return; // for a round that is over
        }
        if self.attacks(trained.round) {
            self.collude(now, trained, out);
        } else {
            self.deliver(now, &trained, None, out);
        }
    }

    /// Whether this device is to send what is crafted in `round`.
    fn attacks(&self, round: u32) -> bool {
        self.collusion.is_some() && self.plan.attack_rounds().contains(round)
    }

    /// Sends the update when it is to be sent: `crafted` in place of the trained parameters if it is set.
    pub(super) fn deliver(
        &mut self,
        now: Millis,
        trained: &Trained,
        crafted: Option<Arc<[f32]>>,
        out: &mut Vec<Action>,
    ) {
        let step = if crafted.is_some() { AttackStep::SentCrafted } else { AttackStep::SentTrained };
        let sends = self.attacks(trained.round).then_some(step);
        let delivery = self.delivery(trained.round);
        let Some(round) = &mut self.round else { return };
        let mut parameters = crafted.unwrap_or_else(|| trained.parameters.clone());
        let (mut number, mut until) = (trained.round, now);
        match delivery {
            Delivery::AtOnce | Delivery::Repeated(_) | Delivery::Unfinished { .. } => {}
            Delivery::After(share) => until = round.share_of_time((100.0 * share).round() as u64),
            Delivery::Under(other) => match &self.replayed {
                Some((kept, sent)) if other < number && *kept == other => {
                    (number, parameters) = (other, sent.clone());
                }
                _ => {
                    self.replayed = (other == number).then(|| (number, parameters.clone()));
                    number = other;
                }
            },
            Delivery::Never => {
                round.stage = RoundStage::Delivered;
                return;
            }
        }
        let content = UpdateContent {
            parameters: Float32Array(parameters),
            loss: trained.loss,
            train_us: trained.train_us,
            telemetry: trained.telemetry,
        };
        round.stage =
            RoundStage::Holding(Held { round: trained.round, number, content, delivery, sends, until });
        self.send_held(now, out);
    }

    /// Sends the update that is held back, when it is to be sent.
    pub(super) fn send_held(&mut self, now: Millis, out: &mut Vec<Action>) {
        if let Some(overdue) = self.overdue.take_if(|overdue| overdue.until <= now) {
            self.send(now, &overdue, out);
        }
        let Some(round) = &mut self.round else { return };
        match std::mem::replace(&mut round.stage, RoundStage::Delivered) {
            RoundStage::Holding(held) if held.until <= now => {
                let again = held.again(now);
                round.stage = again.map_or(RoundStage::Delivered, RoundStage::Holding);
                self.send(now, &held, out);
            }
            other => round.stage = other,
        }
    }

    fn send(&mut self, now: Millis, held: &Held, out: &mut Vec<Action>) {
        let Some(run) = self.run else { return };
        let me = self.me.device;
        let update = Outgoing::new(run, held.number, Kind::Update, Some(me), held.content.encode());
        let topic = self.topics.name(Topic::Update(me));
        if let Delivery::Unfinished { .. } = held.delivery {
            return self.outbox.post_unfinished(now, topic, update, out);
        }
        if let Some(step) = held.sends {
            self.tell(held.round, step, out);
        }
        self.outbox.post(now, topic, update, out);
        if let Delivery::Repeated(messages) = held.delivery {
            self.outbox.repeat(messages, out);
        }
    }

    /// When and how the update of `round` is to be sent: at once, but by an attack.
    fn delivery(&self, round: u32) -> Delivery {
        let attack = self.plan.attack.kind.as_ref();
        let attack = attack.filter(|_| self.is_compromised && self.plan.attack_rounds().contains(round));
        attack.map_or(Delivery::AtOnce, |attack| {
            attack.deliver(round, &mut stream(self.plan.seed, Purpose::Delivery, Some(self.me.device), round))
        })
    }

    pub(super) fn failed(&mut self, now: Millis, round: u32, what: &str, out: &mut Vec<Action>) {
        self.trouble(&format!("round {round}: {what}"));
        self.stop_crafting(now, round, out);
    }
}
