//! Announcing: what everyone is told, and the opening of a round.

use wire::identity::DeviceId;
use wire::{
    Announcement, Float32Array, Kind, Message, Millis, ModelContent, Outgoing, PROTOCOL_VERSION, Payload,
    Publication, RoundCall, Stage, Topic,
};

use super::collect::Collect;
use super::gather::Gather;
use super::{Action, Machine, Phase};

/// For so many rounds it is remembered what became of an update, for a device whose receipt was lost.
const VERDICTS_KEPT: u32 = 8;

impl Machine {
    /// Calls the next round; or the roll, if too few devices are online for the rule or some are awaited.
    pub(super) fn next_round(&mut self, now: Millis, out: &mut Vec<Action>) {
        let (present, known) = self.present();
        let gather = if self.scenario.fewer_byzantine(present.len(), known).is_err() {
            Gather::begin(now, &self.scenario)
        } else if self.roster.all_awaited_are_here() {
            return self.open_round(now, present, known, out);
        } else {
            Gather::for_return(now, &self.scenario)
        };
        self.phase = Phase::Gather(gather);
        self.gather(now, out);
    }

    /// Opens the next round for `selected`; of the others that were drawn for it, `known` are known to be Byzantine.
    pub(super) fn open_round(
        &mut self,
        now: Millis,
        selected: Vec<DeviceId>,
        known: usize,
        out: &mut Vec<Action>,
    ) {
        self.round += 1;
        self.roster.round_opened();
        self.budgets.round_called();
        self.incoming.forget_rounds_before(self.round);
        let oldest = self.round.saturating_sub(VERDICTS_KEPT);
        self.verdicts.retain(|id, _| id.round >= oldest);
        let content = ModelContent { parameters: Float32Array(self.global.clone()) };
        let model = Outgoing::new(self.run, self.round, Kind::Model, None, content.encode());
        let deadline_ms = self.scenario.timing.round_seconds.saturating_mul(1_000);
        let selected = selected.into();
        let call = RoundCall { round: self.round, selected, model: model.content(), deadline_ms };
        out.push(self.announce(Stage::Round(call.clone())));
        let topic = self.topics.name(Topic::Model);
        let chunks = model.chunks().map(|chunk| Publication::live(topic.clone(), &Message::Chunk(chunk)));
        out.extend(chunks.map(Action::Publish));
        self.phase = Phase::Collect(Box::new(Collect::new(call, model, known, now)));
    }

    /// Says again where the run stands, to a broker that may have forgotten.
    pub(super) fn speak_up(&mut self, now: Millis, out: &mut Vec<Action>) {
        match &mut self.phase {
            Phase::Gather(gather) => gather.call_now(now),
            Phase::Collect(collect) => {
                collect.goes_on(now);
                let call = collect.call().clone();
                out.push(self.announce(Stage::Round(call)));
            }
            Phase::Part(_) => out.push(self.announce(Stage::Finished)),
            Phase::Aggregate(_) | Phase::Evaluate(_) | Phase::Over => {}
        }
    }

    pub(super) fn announce(&self, stage: Stage) -> Action {
        Action::Publish(Publication::retained(self.topics.name(Topic::Round), &self.announcement(stage)))
    }

    /// The word that goes to everyone, for the inboxes of `devices`; encoded once for them all.
    pub(super) fn remind(&self, devices: Vec<DeviceId>, stage: Stage) -> impl Iterator<Item = Action> + '_ {
        let payload = Payload::from(&self.announcement(stage));
        devices.into_iter().map(move |device| {
            let topic = self.topics.name(Topic::Inbox(device));
            Action::Publish(Publication { topic, payload: payload.clone(), retain: false })
        })
    }

    fn announcement(&self, stage: Stage) -> Message {
        Message::Announcement(Announcement {
            protocol: PROTOCOL_VERSION,
            run: self.run,
            term: self.term,
            scenario: self.digest,
            stage,
        })
    }
}
