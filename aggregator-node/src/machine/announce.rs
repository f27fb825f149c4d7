//! Announcements: those for all devices, and those for one.

use wire::identity::DeviceId;
use wire::{
    Announcement, Float32Array, Kind, Message, ModelContent, Outgoing, PROTOCOL_VERSION, Payload,
    Publication, RoundCall, RunStage, Topic,
};

use super::Action;
use super::common::Common;

/// For so many rounds it is remembered what became of an update, for a device whose receipt was lost.
const VERDICTS_KEPT: u32 = 8;

impl Common {
    /// Opens the next round for `selected`: announces it and sends its model.
    pub(super) fn open_round(
        &mut self,
        selected: Vec<DeviceId>,
        out: &mut Vec<Action>,
    ) -> (RoundCall, Outgoing) {
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
        out.push(self.announce(RunStage::Round(call.clone())));
        let topic = self.topics.name(Topic::Model);
        let chunks = model.chunks().map(|chunk| Publication::live(topic.clone(), &Message::Chunk(chunk)));
        out.extend(chunks.map(Action::Publish));
        (call, model)
    }

    pub(super) fn announce(&self, stage: RunStage) -> Action {
        Action::Publish(Publication::retained(self.topics.name(Topic::Round), &self.announcement(stage)))
    }

    /// The word that goes to everyone, for the inboxes of `devices`; encoded once for them all.
    pub(super) fn remind(
        &self,
        devices: Vec<DeviceId>,
        stage: RunStage,
    ) -> impl Iterator<Item = Action> + '_ {
        let payload = Payload::from(&self.announcement(stage));
        devices.into_iter().map(move |device| {
            let topic = self.topics.name(Topic::Inbox(device));
            Action::Publish(Publication { topic, payload: payload.clone(), retain: false })
        })
    }

    pub(super) fn tell(&self, device: DeviceId, message: &Message) -> Action {
        Action::Publish(Publication::live(self.topics.name(Topic::Inbox(device)), message))
    }

    fn announcement(&self, stage: RunStage) -> Message {
        Message::Announcement(Announcement {
            protocol: PROTOCOL_VERSION,
            run: self.run,
            term: self.term,
            scenario: self.digest,
            stage,
        })
    }
}
