//! The round machine against scripted devices.

mod absence;
mod collecting;
mod flooding;
mod gathering;
mod presence;
mod refusing;
mod resuming;
mod shards;
mod telling;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use learning::evaluation::{ClassEvaluation, Evaluation};
use record::RoundRecord;
use scenario::Scenario;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{
    Chunk, Float32Array, Kind, Message, Millis, Missing, Outgoing, PROTOCOL_VERSION, Receipt, Refusal,
    RunStage, Status, Telemetry, Topic, Topics, UpdateContent,
};

use super::{Action, Event, Failure, Machine, Start};
use crate::worker::{Aggregate, Job, Outcome};

const RUN: RunId = RunId(7);
const DEVICES: u32 = 3;
/// Parameters of a model that fits one chunk.
const SMALL: usize = 4;
/// Parameters of a model that takes three.
const LARGE: usize = 40_000;

const SCENARIO: &str = r#"
name = "scripted"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 3
[fleet]
devices = 3
compromised = 0
[evaluation]
every = 1
[timing]
gather-seconds = 60
round-seconds = 60
"#;

/// A machine, its clock, and what it has said since that was last looked at.
struct Script {
    machine: Machine,
    scenario: Arc<Scenario>,
    topics: Topics,
    now: Millis,
    said: Vec<Action>,
    /// The round that was open at the beginning, if one was.
    call: Option<wire::RoundCall>,
}

impl Script {
    /// A run about to gather.
    fn new(dimension: usize, settings: &[&str]) -> Self {
        Self::resumed(dimension, settings, 0)
    }

    /// A run that goes on after `finished` rounds.
    fn resumed(dimension: usize, settings: &[&str], finished: u32) -> Self {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let scenario = Arc::new(Scenario::parse("scripted.toml", SCENARIO, &settings).unwrap());
        let start = Start {
            run: RUN,
            term: 1,
            finished,
            global: vec![0.0; dimension].into(),
            remembered: Arc::default(),
            trained_on: BTreeMap::new(),
            listed: None,
        };
        Self::started(scenario, start)
    }

    fn started(scenario: Arc<Scenario>, start: Start) -> Self {
        let topics = Topics::default();
        let machine = Machine::new(scenario.clone(), topics.clone(), start, Millis(0));
        let mut script = Script { machine, scenario, topics, now: Millis(0), said: Vec::new(), call: None };
        script.handle(Event::Connected);
        script
    }

    /// A machine of the same run that has not been connected yet.
    fn fresh_machine(&self) -> Machine {
        let (trained_on, listed) = (BTreeMap::new(), None);
        let start = Start {
            run: RUN,
            term: 1,
            finished: 0,
            global: vec![0.0; SMALL].into(),
            remembered: Arc::default(),
            trained_on,
            listed,
        };
        Machine::new(self.scenario.clone(), self.topics.clone(), start, Millis(0))
    }

    /// A run whose first round has just been opened.
    fn opened(dimension: usize, settings: &[&str]) -> Self {
        let mut script = Self::new(dimension, settings);
        (0..DEVICES).for_each(|device| script.arrives(device));
        script.call = script.called();
        assert_eq!(script.call.as_ref().unwrap().round, 1);
        script.said.clear();
        script
    }

    fn handle(&mut self, event: Event<'_>) {
        let actions = self.machine.handle(self.now, event);
        self.said.extend(actions);
    }

    fn receive(&mut self, topic: Topic, message: &Message) {
        self.receive_raw(topic, message.encode().unwrap());
    }

    fn receive_raw(&mut self, topic: Topic, payload: impl Into<Bytes>) {
        self.arrive(topic, payload, false);
    }

    fn arrive(&mut self, topic: Topic, payload: impl Into<Bytes>, retained: bool) {
        let topic = self.topics.name(topic);
        self.handle(Event::Message { topic: &topic, payload: &payload.into().into(), retained });
    }

    /// Lets the time pass, with a tick whenever one is due.
    fn wait_until(&mut self, until: u64) {
        while let Some(due) = self.machine.wake_at().filter(|due| due.0 <= until) {
            self.now = self.now.max(due);
            self.handle(Event::Tick);
            assert!(self.machine.wake_at().is_none_or(|next| next > self.now), "it wakes in the past");
        }
        self.now = Millis(until);
    }

    fn status(&self, device: u32) -> Status {
        Status {
            protocol: PROTOCOL_VERSION,
            device: DeviceId(device),
            boot: u64::from(device),
            up_ms: 0,
            online: true,
            scenario: self.scenario.digest(),
            shard: shard(device),
            examples: 10 + device,
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

    fn arrives(&mut self, device: u32) {
        let status = self.status(device);
        self.says(status);
    }

    fn leaves(&mut self, device: u32) {
        let status = Status { online: false, ..self.status(device) };
        self.says(status);
    }

    /// The status comes on the topic of its device.
    fn says(&mut self, status: Status) {
        self.receive(Topic::Status(status.device), &Message::Status(status));
    }

    /// All of an update, on its device's topic.
    fn delivers(&mut self, update: &Outgoing) {
        update.chunks().for_each(|chunk| self.delivers_piece(chunk));
    }

    fn delivers_piece(&mut self, chunk: Chunk) {
        let device = chunk.id.device.unwrap();
        self.receive(Topic::Update(device), &Message::Chunk(chunk));
    }

    /// The worker is done with the round: here is the aggregate, and the test error is 0.25.
    fn computes(&mut self, aggregate: Result<Vec<f32>, String>) {
        let round = self.job_round();
        let result = aggregate.map(|parameters| Aggregate { parameters, ..Aggregate::default() });
        self.handle(Event::Done(Outcome::Aggregated { round, result, unusable: Vec::new() }));
        self.evaluates();
    }

    fn evaluates(&mut self) {
        let round = self.job_round();
        let overall = Evaluation { loss: 0.5, errors: 1, examples: 4, error_rate: 0.25 };
        let evaluation =
            ClassEvaluation { overall, classes: Vec::new(), confusion: Vec::new(), attack_success: None };
        self.handle(Event::Done(Outcome::Evaluated { round, result: Ok(evaluation) }));
    }

    /// The round of the job that was given last.
    fn job_round(&self) -> u32 {
        match self.jobs().last().expect("a job") {
            Job::Aggregate { round, .. } | Job::Evaluate { round, .. } => *round,
        }
    }

    fn jobs(&self) -> Vec<&Job> {
        let said = self.said.iter();
        said.filter_map(|action| if let Action::Compute(job) = action { Some(job) } else { None }).collect()
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

    fn stages(&self, on: Topic) -> Vec<RunStage> {
        let stage = |message| if let Message::Announcement(a) = message { Some(a.stage) } else { None };
        self.messages(on).into_iter().filter_map(stage).collect()
    }

    /// The round that was called last.
    fn called(&self) -> Option<wire::RoundCall> {
        let call = |stage| if let RunStage::Round(call) = stage { Some(call) } else { None };
        self.stages(Topic::Round).into_iter().filter_map(call).next_back()
    }

    fn receipts(&self, device: u32) -> Vec<Option<Refusal>> {
        let inbox = self.messages(Topic::Inbox(DeviceId(device))).into_iter();
        inbox
            .filter_map(
                |m| if let Message::Receipt(Receipt { refused, .. }) = m { Some(refused) } else { None },
            )
            .collect()
    }

    fn asked(&self, device: u32) -> Vec<Missing> {
        let inbox = self.messages(Topic::Inbox(DeviceId(device))).into_iter();
        inbox.filter_map(|m| if let Message::Missing(missing) = m { Some(missing) } else { None }).collect()
    }

    /// The pieces of the model that were sent to `device` alone.
    fn pieces(&self, device: u32) -> Vec<u32> {
        let inbox = self.messages(Topic::Inbox(DeviceId(device))).into_iter();
        inbox.filter_map(|m| if let Message::Chunk(chunk) = m { Some(chunk.index) } else { None }).collect()
    }

    fn record(&self) -> Option<&RoundRecord> {
        let mut said = self.said.iter().rev();
        said.find_map(|action| if let Action::Record { record, .. } = action { Some(record) } else { None })
    }

    fn ending(&self) -> Option<&Result<(), Failure>> {
        self.said
            .iter()
            .find_map(|action| if let Action::Finish(result) = action { Some(result) } else { None })
    }

    /// Closes the round at its deadline, and gives its record.
    fn close(&mut self) -> RoundRecord {
        self.wait_until(self.now.0 + 60_000);
        match self.jobs().last() {
            Some(Job::Aggregate { updates, .. }) => {
                let aggregate = updates[0].to_vec();
                self.computes(Ok(aggregate));
            }
            _ => self.evaluates(),
        }
        self.record().expect("the round is over").clone()
    }
}

/// The digest of what `device` trains on.
fn shard(device: u32) -> Digest {
    Digest::of(&device.to_le_bytes())
}

/// An update of `device` for `round`, every parameter of which is `value`.
fn update(device: u32, round: u32, value: f32, dimension: usize) -> Outgoing {
    let parameters = Float32Array(vec![value; dimension].into());
    let content = UpdateContent { parameters, loss: 0.5, train_us: 1, telemetry: Telemetry::default() };
    Outgoing::new(RUN, round, Kind::Update, Some(DeviceId(device)), content.encode())
}

fn small(device: u32, round: u32) -> Outgoing {
    update(device, round, 1.0, SMALL)
}
