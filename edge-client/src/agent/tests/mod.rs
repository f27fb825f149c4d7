//! A device against a scripted aggregator and scripted accomplices.

mod colluding;
mod delivering;
mod news;
mod presence;
mod rounds;
mod runs;

use scenario::Scenario;
use scenario::attack_record::{AttackEvent, AttackStep};
use scenario::attacks::Models;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{
    Announcement, Chunk, Float32Array, Kind, Message, Millis, Missing, ModelContent, Outgoing,
    PROTOCOL_VERSION, Receipt, RoundCall, RunStage, Status, Telemetry, Topic, Topics, TransferId,
    UpdateContent, content_limit, decode,
};

use super::{Action, Agent, Event, Farewell, Identity};
use crate::worker::{CraftJob, Job, Outcome, Trained};

const RUN: RunId = RunId(7);
const SMALL: usize = 4;
/// Parameters of a model that takes three chunks.
const LARGE: usize = 40_000;

const SCENARIO: &str = r#"
name = "scripted"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 9
[fleet]
devices = 7
compromised = 3
[aggregation]
rule = "trimmed-mean"
[attack]
kind = "trimmed-mean"
"#;

fn scenario(settings: &[&str]) -> Scenario {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Scenario::parse("scripted.toml", SCENARIO, &settings).unwrap()
}

/// A device, its clock, and what it has said since that was last looked at.
struct Script {
    agent: Agent,
    me: DeviceId,
    attackers: Vec<DeviceId>,
    scenario: Digest,
    dimension: usize,
    topics: Topics,
    now: Millis,
    term: u64,
    said: Vec<Action>,
}

impl Script {
    /// A device that behaves.
    fn benign(dimension: usize) -> Self {
        Self::new(dimension, DeviceId(1), &scenario(&["attack.kind=none"]))
    }

    /// The compromised device of rank `rank`, from the lowest id on.
    fn compromised(rank: usize, settings: &[&str]) -> Self {
        let scenario = scenario(settings);
        let me = scenario.attackers().into_iter().nth(rank).unwrap();
        Self::new(SMALL, me, &scenario)
    }

    fn new(dimension: usize, me: DeviceId, scenario: &Scenario) -> Self {
        let topics = Topics::default();
        let identity = Identity {
            device: me,
            boot: 50,
            shard: Digest::of(b"shard"),
            examples: 10,
            hardware: Box::default(),
        };
        let agent = Agent::new(identity, topics.clone(), scenario, dimension, Millis(0));
        let attackers = scenario.attackers().into_iter().collect();
        let (scenario, now, said) = (scenario.digest(), Millis(0), Vec::new());
        let mut script = Script { agent, me, attackers, scenario, dimension, topics, now, term: 1, said };
        script.handle(Event::Connected);
        script
    }

    fn handle(&mut self, event: Event<'_>) {
        let actions = self.agent.handle(self.now, event);
        self.said.extend(actions);
    }

    fn receive(&mut self, topic: Topic, message: &Message) {
        self.receive_as(topic, message, false);
    }

    fn receive_as(&mut self, topic: Topic, message: &Message, retained: bool) {
        let (topic, payload) = (self.topics.name(topic), message.encode().unwrap());
        self.handle(Event::Message { topic: &topic, payload: &payload.into(), retained });
    }

    /// Lets the time pass, with a tick whenever one is due.
    fn wait_until(&mut self, until: u64) {
        while let Some(due) = self.agent.wake_at().filter(|due| due.0 <= until) {
            self.now = self.now.max(due);
            self.handle(Event::Tick);
            assert!(self.agent.wake_at().is_none_or(|next| next > self.now), "it wakes in the past");
        }
        self.now = Millis(until);
    }

    fn announcement(&self, run: RunId, stage: RunStage) -> Message {
        let (term, scenario) = (self.term, self.scenario);
        Message::Announcement(Announcement { protocol: PROTOCOL_VERSION, run, term, scenario, stage })
    }

    fn announce(&mut self, stage: RunStage) {
        let announcement = self.announcement(RUN, stage);
        self.receive(Topic::Round, &announcement);
    }

    /// The global model of `round`.
    fn model(&self, round: u32) -> Outgoing {
        let parameters = Float32Array(vec![round as f32; self.dimension].into());
        Outgoing::new(RUN, round, Kind::Model, None, ModelContent { parameters }.encode())
    }

    fn call(&self, round: u32, selected: &[DeviceId]) -> RoundCall {
        let model = self.model(round).content();
        RoundCall { round, selected: selected.into(), model, deadline_ms: 60_000 }
    }

    /// The call for `round`, for all devices, and the model.
    fn opens(&mut self, round: u32) {
        let everyone: Vec<_> = (0..7).map(DeviceId).collect();
        self.opens_for(round, &everyone);
    }

    fn opens_for(&mut self, round: u32, selected: &[DeviceId]) {
        let call = self.call(round, selected);
        self.announce(RunStage::Round(call));
        let chunks: Vec<_> = self.model(round).chunks().collect();
        chunks.into_iter().for_each(|chunk| self.receive(Topic::Model, &Message::Chunk(chunk)));
    }

    /// The worker has trained; every parameter is `value`.
    fn trains(&mut self, round: u32, value: f32) {
        let parameters = vec![value; self.dimension].into();
        let trained = Trained { round, parameters, loss: 0.5, train_us: 1, telemetry: Telemetry::default() };
        self.handle(Event::Done(Outcome::Trained(trained)));
    }

    fn crafts(&mut self, round: u32, models: &[(DeviceId, f32)]) {
        let models =
            models.iter().map(|(device, value)| (*device, vec![*value; self.dimension].into())).collect();
        let from = Models { colluders: 3, benign: 0 };
        self.handle(Event::Done(Outcome::Crafted { round, models, from, gave_up: false }));
    }

    /// The receipt of the update that was sent last.
    fn acknowledges(&mut self) {
        let id = self.chunks(Topic::Update(self.me)).last().expect("an update").id;
        self.receive(Topic::Inbox(self.me), &Message::Receipt(Receipt { id, refused: None }));
    }

    fn status(&self, device: DeviceId, online: bool) -> Status {
        Status {
            protocol: PROTOCOL_VERSION,
            device,
            boot: u64::from(device.0),
            up_ms: 0,
            online,
            scenario: self.scenario,
            shard: Digest::of(b"shard"),
            examples: 10,
            version: "1".to_owned(),
            delivered: None,
            telemetry: Telemetry::default(),
            error: None,
            error_time: None,
            run: None,
            time: None,
            hardware: Box::default(),
        }
    }

    fn says(&mut self, status: Status) {
        self.receive(Topic::Status(status.device), &Message::Status(status));
    }

    /// The compromised device of rank `rank` comes or goes.
    fn accomplice(&mut self, rank: usize, online: bool) {
        let status = self.status(self.attackers[rank], online);
        self.says(status);
    }

    /// A transfer comes in on this device's collusion topic.
    fn colludes(&mut self, transfer: &Outgoing) {
        let chunks: Vec<_> = transfer.chunks().collect();
        chunks.into_iter().for_each(|chunk| self.receive(Topic::Collusion(self.me), &Message::Chunk(chunk)));
    }

    /// What `device` is to send or would have sent.
    fn shared_model(&self, kind: Kind, round: u32, device: DeviceId, value: f32) -> Outgoing {
        let parameters = Float32Array(vec![value; self.dimension].into());
        Outgoing::new(RUN, round, kind, Some(device), ModelContent { parameters }.encode())
    }

    fn messages(&self, on: Topic) -> Vec<Message> {
        let topic = self.topics.name(on);
        let message = |action: &Action| match action {
            Action::Publish(publication) if publication.topic == topic => {
                Some(publication.payload.message().unwrap().clone())
            }
            _ => None,
        };
        self.said.iter().filter_map(message).collect()
    }

    fn chunks(&self, on: Topic) -> Vec<Chunk> {
        let chunk = |message| if let Message::Chunk(chunk) = message { Some(chunk) } else { None };
        self.messages(on).into_iter().filter_map(chunk).collect()
    }

    fn asked(&self) -> Vec<Vec<u32>> {
        let missing =
            |message| if let Message::Missing(missing) = message { Some(missing.chunks) } else { None };
        self.messages(Topic::Ask(self.me)).into_iter().filter_map(missing).collect()
    }

    /// The first parameter of each update in one piece.
    fn updates(&self) -> Vec<f32> {
        let first = |chunk: Chunk| {
            let update: UpdateContent = decode(&chunk.data, content_limit(self.dimension)).unwrap();
            update.parameters.0[0]
        };
        self.chunks(Topic::Update(self.me)).into_iter().map(first).collect()
    }

    fn jobs(&self) -> Vec<&Job> {
        let said = self.said.iter();
        said.filter_map(|action| if let Action::Compute(job) = action { Some(job) } else { None }).collect()
    }

    fn crafting(&self) -> Option<&CraftJob> {
        self.jobs().into_iter().find_map(|job| if let Job::Craft(craft) = job { Some(craft) } else { None })
    }

    /// What it has told of the attack.
    fn told(&self) -> Vec<AttackStep> {
        let told = |action: &Action| match action {
            Action::Report(AttackEvent { device, what, .. }) if *device == self.me => Some(*what),
            _ => None,
        };
        self.said.iter().filter_map(told).collect()
    }

    fn trainings(&self) -> Vec<u32> {
        let round = |job| if let &Job::Train { round, .. } = job { Some(round) } else { None };
        self.jobs().into_iter().filter_map(round).collect()
    }

    fn subscriptions(&self) -> Vec<&str> {
        let said = self.said.iter();
        said.filter_map(
            |action| if let Action::Subscribe(filter) = action { Some(filter.as_str()) } else { None },
        )
        .collect()
    }

    fn farewell(&self) -> Option<&Farewell> {
        self.said
            .iter()
            .find_map(|action| if let Action::Leave(farewell) = action { Some(farewell) } else { None })
    }
}
