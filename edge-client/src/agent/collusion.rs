//! How compromised devices act as one.
//!
//! The online compromised device with the lowest id leads. The others send it their before-attack models; under full
//! knowledge it also reads the benign devices' updates, which takes an explicit grant at the broker. It crafts a model for
//! each and sends it to them, so that collusion costs O(m) messages. A device that has received nothing from its leader in
//! time sends what it honestly trained.

use std::sync::Arc;

use learning::parameters::first_not_finite;
use tracing::{debug, warn};
use wire::identity::DeviceId;
use wire::{
    Blob, Chunk, Float32Array, Kind, Message, Millis, Missing, ModelContent, Outgoing, Progress, Publication,
    Receipt, Status, Topic, UpdateContent, content_limit, decode,
};

use super::accomplices::ASKING_PAUSE;
use super::exchange;
use super::round::RoundStage;
use super::{Action, Agent, Round};
use crate::worker::{CraftJob, Job, Trained};

/// Shares of a round's time, in percent, after which the leader crafts from what it has and a follower gives up.
const LEADER_PATIENCE: u64 = 55;
const FOLLOWER_PATIENCE: u64 = 80;
/// How long the pieces of a model may be quiet before the missing ones are asked for.
pub(super) const PIECES_QUIET: Millis = Millis(1_000);

impl Agent {
    /// Trained, and now up to the accomplices.
    pub(super) fn collude(&mut self, now: Millis, trained: Trained, out: &mut Vec<Action>) {
        let (Some(round), Some(collusion), Some(run)) = (&mut self.round, &mut self.collusion, self.run)
        else {
            return;
        };
        let me = self.me.device;
        // As with the models of others: of what is not finite nothing can be crafted.
        let is_finite = first_not_finite(&trained.parameters).is_none();
        if let Some(exchange) = collusion.exchange(trained.round).filter(|_| is_finite) {
            exchange.before_attack.insert(me, trained.parameters.clone());
        }
        let leader = collusion.leader();
        if leader != me {
            let content = model_content(trained.parameters.clone());
            let transfer = Outgoing::new(run, trained.round, Kind::BeforeAttack, Some(me), content);
            self.outbox.post(now, self.topics.name(Topic::Collusion(leader)), transfer, out);
        }
        round.stage =
            RoundStage::Colluding { trained, since: now, until: round.share_of_time(FOLLOWER_PATIENCE) };
        self.craft_if_ready(now, out);
        self.take_crafted(now, out);
    }

    /// An accomplice came or went.
    pub(super) fn accomplice_status(&mut self, now: Millis, status: &Status, out: &mut Vec<Action>) {
        let Some(collusion) = &mut self.collusion else { return };
        if !collusion.attackers.contains(&status.device) {
            return;
        }
        let led_by = collusion.leader();
        let restarted = collusion.enter(status);
        let leader = collusion.leader();
        if leader != led_by || (restarted && leader == status.device) {
            self.listen_if_leading(out);
            self.turn_to_leader(now, out);
        }
        self.craft_if_ready(now, out);
    }

    /// Listens in on everybody's updates, if this device leads and the attack needs them.
    pub(super) fn listen_if_leading(&mut self, out: &mut Vec<Action>) {
        let filter = self.collusion.as_mut().and_then(|collusion| collusion.listen(&self.topics));
        out.extend(filter.map(Action::Subscribe));
    }

    /// Sends the before-attack model once more, to a leader that does not have it.
    fn turn_to_leader(&mut self, now: Millis, out: &mut Vec<Action>) {
        let colluding = |round: &mut Round| match std::mem::replace(&mut round.stage, RoundStage::Training) {
            RoundStage::Colluding { trained, .. } => Some(trained),
            other => {
                round.stage = other;
                None
            }
        };
        if let Some(trained) = self.round.as_mut().and_then(colluding) {
            self.collude(now, trained, out);
        }
    }

    /// A piece on this device's own collusion topic.
    pub(super) fn collusion_chunk(&mut self, now: Millis, chunk: Chunk, out: &mut Vec<Action>) {
        let id = chunk.id;
        let Some(collusion) = &mut self.collusion else { return };
        let probe = chunk.index == 0;
        let peer = match (id.kind, id.device) {
            (Kind::BeforeAttack, Some(device)) if collusion.attackers.contains(&device) => device,
            (Kind::Crafted, Some(device)) if device == self.me.device => collusion.leader(),
            _ => return debug!("a transfer that does not belong among colluders"),
        };
        if Some(id.run) != self.run || !collusion.is_near(id.round) {
            return;
        }
        // Not from `peer`: while the pieces come in, this device may learn who leads.
        match self.incoming.accept(now, id.device, chunk) {
            Ok(Progress::Complete(content)) => {
                self.say_to(peer, &Message::Receipt(Receipt { id, refused: None }), out);
                match content.model(self.dimension) {
                    Ok(model) if id.kind == Kind::BeforeAttack => {
                        if let Some(collusion) = &mut self.collusion {
                            collusion.keep(&id, peer, model.parameters.0.clone());
                        }
                        self.craft_if_ready(now, out);
                        self.hand_out_again(now, id.round, peer, out);
                    }
                    Ok(model) => {
                        if let Some(exchange) = self.collusion.as_mut().and_then(|c| c.exchange(id.round)) {
                            exchange.received = Some(model.parameters.0.clone());
                        }
                        self.take_crafted(now, out);
                    }
                    Err(error) => warn!("round {}: {peer}: {error}", id.round),
                }
            }
            // A reminder, which is always the first piece: say what is still missing, or that nothing is.
            Ok(Progress::AlreadyHeld) if probe => {
                let answer = match self.incoming.missing(&id) {
                    Some(missing) => Message::Missing(missing),
                    None => Message::Receipt(Receipt { id, refused: None }),
                };
                self.say_to(peer, &answer, out);
                self.hand_out_again(now, id.round, peer, out);
            }
            Ok(Progress::Incomplete | Progress::AlreadyHeld) => {}
            Err(error) => debug!("{peer}: {error}"),
        }
    }

    /// A piece of another device's update, read under the grant of full knowledge.
    pub(super) fn tapped(&mut self, now: Millis, device: DeviceId, chunk: &Chunk, out: &mut Vec<Action>) {
        let Some(collusion) = &mut self.collusion else { return };
        let id = chunk.id;
        let benign = !collusion.attackers.contains(&device);
        let near = collusion.is_near(id.round);
        let expected = id.kind == Kind::Update && id.device == Some(device) && Some(id.run) == self.run;
        if !(benign && near && expected) {
            return;
        }
        collusion.ask_at = Some(now + ASKING_PAUSE);
        if let Ok(Progress::Complete(content)) = collusion.tap.accept(now, Some(device), chunk.clone())
            && let Ok(update) = decode::<UpdateContent>(&content, content_limit(self.dimension))
        {
            collusion.keep(&id, device, update.parameters.0);
            self.craft_if_ready(now, out);
        }
    }

    /// Asks for updates that the leader has not heard, and for what is missing of accomplices' models.
    pub(super) fn ask_accomplices(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Some(collusion) = &mut self.collusion else { return };
        let mut asked: Vec<(DeviceId, Missing)> = Vec::new();
        for missing in self.incoming.stalled(now, PIECES_QUIET) {
            match (missing.id.kind, missing.id.device) {
                (Kind::BeforeAttack, Some(device)) => asked.push((device, missing)),
                (Kind::Crafted, _) => asked.push((collusion.leader(), missing)),
                _ => {}
            }
        }
        if collusion.ask_at.is_some_and(|due| due <= now) {
            collusion.ask_at = Some(now + ASKING_PAUSE);
            if let (Some(run), Some(round)) = (self.run, &self.round)
                && collusion.leader() == self.me.device
            {
                let lacking = collusion.lacking(run, &round.call);
                asked.extend(lacking.into_iter().filter_map(|missing| Some((missing.id.device?, missing))));
            }
        }
        for (device, missing) in asked {
            self.say_to(device, &Message::Missing(missing), out);
        }
    }

    /// The leader crafts as soon as it has all, or when its patience ends.
    pub(super) fn craft_if_ready(&mut self, now: Millis, out: &mut Vec<Action>) {
        let global = self.global();
        let (Some(run), Some(collusion), Some(round)) = (self.run, &mut self.collusion, &self.round) else {
            return;
        };
        collusion.craft_at = None;
        let Some(global) = global.filter(|_| collusion.leader() == self.me.device) else { return };
        let (needs, patience_ends) = (collusion.needs, round.share_of_time(LEADER_PATIENCE));
        let Some(exchange) = collusion.exchanges.get_mut(&round.call.round) else { return };
        if exchange.progress != exchange::Progress::Collecting || !exchange.enough(needs) {
            return;
        }
        if exchange.complete(&round.call, &collusion.attackers, &collusion.gone, needs)
            || patience_ends <= now
        {
            exchange.progress = exchange::Progress::Crafted;
            out.push(Action::Compute(Job::Craft(CraftJob {
                run,
                round: round.call.round,
                global,
                before_attack: std::mem::take(&mut exchange.before_attack).into_iter().collect(),
                benign: std::mem::take(&mut exchange.benign).into_iter().collect(),
            })));
        } else {
            collusion.craft_at = Some(patience_ends);
        }
    }

    /// The worker has crafted: hand out, and take one's own.
    pub(super) fn crafted(
        &mut self,
        now: Millis,
        round: u32,
        models: Vec<(DeviceId, Arc<[f32]>)>,
        out: &mut Vec<Action>,
    ) {
        let (Some(collusion), Some(run)) = (&mut self.collusion, self.run) else { return };
        if round != collusion.round {
            return;
        }
        let Some(exchange) = collusion.exchanges.get_mut(&round) else { return };
        for (device, model) in models {
            if device == self.me.device {
                exchange.received = Some(model);
            } else {
                let transfer = Outgoing::new(run, round, Kind::Crafted, Some(device), model_content(model));
                let topic = self.topics.name(Topic::Collusion(device));
                exchange.crafted.insert(device, transfer.clone());
                self.outbox.post(now, topic, transfer, out);
            }
        }
        self.take_crafted(now, out);
    }

    /// Sends a device that came back what had been crafted for it.
    fn hand_out_again(&mut self, now: Millis, round: u32, device: DeviceId, out: &mut Vec<Action>) {
        let Some(collusion) = &self.collusion else { return };
        if let Some(transfer) =
            collusion.exchanges.get(&round).and_then(|exchange| exchange.crafted.get(&device))
        {
            self.outbox.post(now, self.topics.name(Topic::Collusion(device)), transfer.clone(), out);
        }
    }

    /// Delivers the crafted model, once both it and the training it replaces are there.
    fn take_crafted(&mut self, now: Millis, out: &mut Vec<Action>) {
        let (Some(round), Some(collusion)) = (&mut self.round, &mut self.collusion) else { return };
        if !matches!(round.stage, RoundStage::Colluding { .. }) {
            return;
        }
        let received =
            collusion.exchanges.get_mut(&round.call.round).and_then(|exchange| exchange.received.take());
        if let Some(crafted) = received.filter(|crafted| crafted.len() == self.dimension)
            && let RoundStage::Colluding { trained, .. } =
                std::mem::replace(&mut round.stage, RoundStage::Delivered)
        {
            self.deliver(now, &trained, Some(crafted), out);
        }
    }

    /// Gives up on the leader when it is time to.
    pub(super) fn stop_colluding(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Some(Round { stage: RoundStage::Colluding { until, .. }, call, .. }) = &self.round else {
            return;
        };
        if *until <= now {
            let round = call.round;
            self.trouble(&format!("round {round}: nothing crafted in time, sending what was trained"));
            self.behave(now, out);
        }
    }

    /// The worker could not craft in `round`.
    pub(super) fn stop_crafting(&mut self, now: Millis, round: u32, out: &mut Vec<Action>) {
        if self.round.as_ref().is_some_and(|current| current.call.round == round) {
            self.behave(now, out);
        }
    }

    /// Sends what was honestly trained.
    fn behave(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Some(round) = &mut self.round else { return };
        match std::mem::replace(&mut round.stage, RoundStage::Delivered) {
            RoundStage::Colluding { trained, .. } => self.deliver(now, &trained, None, out),
            other => round.stage = other,
        }
    }

    fn say_to(&self, peer: DeviceId, message: &Message, out: &mut Vec<Action>) {
        let topic = self.topics.name(Topic::Collusion(peer));
        out.push(Action::Publish(Publication::live(topic, message)));
    }
}

fn model_content(values: Arc<[f32]>) -> Blob {
    ModelContent { parameters: Float32Array(values) }.encode()
}
