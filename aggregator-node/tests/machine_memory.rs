//! What the machine of rounds holds when every device sends as much as it can: alone in its process, for other tests take
//! memory, too.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use aggregator_node::machine::{Event, Machine, Start};
use scenario::Scenario;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{
    CHUNK_BYTES, Float32Array, Kind, Message, Millis, Outgoing, PROTOCOL_VERSION, Status, Telemetry, Topic,
    Topics, UpdateContent,
};

const DEVICES: u32 = 8;
const DIMENSION: usize = 1_000_000;
const RUN: RunId = RunId(7);
const KIB: usize = 1 << 10;
/// What else there is: what is sent is made here as well, and the allocator keeps what was freed.
const BESIDE: usize = 16 * KIB * KIB;

const SCENARIO: &str = r#"
name = "large"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 3
[fleet]
devices = 8
compromised = 0
"#;

/// What this process has in memory, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * KIB
}

fn update(device: DeviceId, value: f32) -> Outgoing {
    let parameters = Float32Array(vec![value; DIMENSION].into());
    let content = UpdateContent { parameters, loss: 0.5, train_us: 1, telemetry: Telemetry::default() };
    Outgoing::new(RUN, 1, Kind::Update, Some(device), content.encode())
}

/// The machine, and the topics of its fleet.
struct Fleet {
    machine: Machine,
    topics: Topics,
    scenario: Digest,
}

impl Fleet {
    fn new(scenario: Arc<Scenario>) -> Self {
        let (trained_on, listed) = (BTreeMap::new(), None);
        let start = Start {
            run: RUN,
            term: 1,
            finished: 0,
            global: vec![0.0; DIMENSION].into(),
            remembered: Arc::default(),
            trained_on,
            listed,
        };
        let (topics, digest) = (Topics::default(), scenario.digest());
        let mut machine = Machine::new(scenario, topics.clone(), start, Millis(0));
        machine.handle(Millis(0), Event::Connected);
        Fleet { machine, topics, scenario: digest }
    }

    /// What is to be done about it is not the machine's any more.
    fn say(&mut self, topic: Topic, message: &Message) {
        let (topic, payload) = (self.topics.name(topic), message.encode().unwrap().into());
        self.machine.handle(Millis(1), Event::Message { topic: &topic, payload: &payload, retained: false });
    }

    fn arrives(&mut self, device: DeviceId) {
        let status = Status {
            protocol: PROTOCOL_VERSION,
            device,
            boot: 1,
            up_ms: 0,
            online: true,
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
        };
        self.say(Topic::Status(device), &Message::Status(status));
    }

    /// The first pieces of an update.
    fn sends(&mut self, device: DeviceId, value: f32, pieces: usize) {
        for chunk in update(device, value).chunks().take(pieces) {
            self.say(Topic::Update(device), &Message::Chunk(chunk));
        }
    }
}

#[test]
fn the_machine_holds_no_more_than_the_formula_says_whatever_is_sent() {
    let devices = || (0..DEVICES).map(DeviceId);
    let one = 4 * DIMENSION + 256;
    let scenario = Scenario::parse("large.toml", SCENARIO, &[]).unwrap().into();
    let before = resident();
    let mut fleet = Fleet::new(scenario);
    devices().for_each(|device| fleet.arrives(device));
    // All but the last piece, of one update after the other, beyond what there is room for.
    let all = update(DeviceId(0), 0.0).chunks().count();
    for value in 1..=4u8 {
        devices().for_each(|device| fleet.sends(device, value.into(), all - 1));
    }
    let unfinished = resident() - before;
    let rooms = DEVICES as usize;
    let least = 2 * rooms * (one - 2 * CHUNK_BYTES as usize);
    let formula =
        |transfers: usize, accepted: usize| (transfers + accepted) * rooms * one + 2 * one + 16 * KIB * rooms;
    assert!(unfinished > least, "{unfinished} of {least}: not what there is room for");
    assert!(unfinished < formula(2, 0) + BESIDE, "{unfinished} of {}", formula(2, 0));
    // The first of them is finished after all, and another begun in its place.
    devices().for_each(|device| fleet.sends(device, 1.0, all));
    for value in 5..=8u8 {
        devices().for_each(|device| fleet.sends(device, value.into(), all - 1));
    }
    let most = resident() - before;
    assert!(most < formula(2, 1) + BESIDE, "{most} of {}", formula(2, 1));
}
