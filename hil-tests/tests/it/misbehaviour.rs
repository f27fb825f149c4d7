//! A device that sends what it should not: nothing of it reaches the model, and the record names device and reason.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use learning::models;
use link::{Command, Link, LinkEvent, LinkOptions};
use record::RefusedDevice;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{
    Announcement, Chunk, Float32Array, Kind, MAX_MESSAGE_BYTES, Message, Outgoing, PROTOCOL_VERSION,
    Publication, Refusal, RunStage, Status, Telemetry, Topic, Topics, TransferId, UpdateContent,
    content_limit,
};

use crate::lab::{Lab, all_succeed, records};
use crate::process::{PATIENCE, Process, block_on, summary};

/// Whom the rogue program plays: one device that misbehaves, and one that behaves. The latter's update comes last,
/// so that a round is open for all that the former sends.
const ROGUE: DeviceId = DeviceId(3);
const STEADY: DeviceId = DeviceId(4);

/// What the rogue device does in one round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Misdeed {
    Garbage,
    MessageOfAnotherTopic,
    WrongShape,
    NotANumber,
    Infinity,
    RoundToCome,
    RoundThatIsOver,
    SecondUpdate,
    OtherRun,
    NameOfAnother,
    StatusOfAnother,
    NoDevice,
    HugeMessage,
    HugeUpdate,
    FalseDigest,
}

use Misdeed::*;

/// In order of rounds; who is named for it, why, and whether an update of the rogue is accepted all the same.
const MISDEEDS: [(Misdeed, Option<DeviceId>, Refusal, bool); 15] = [
    (Garbage, Some(ROGUE), Refusal::Malformed, true),
    (MessageOfAnotherTopic, Some(ROGUE), Refusal::Malformed, true),
    (WrongShape, Some(ROGUE), Refusal::WrongShape, false),
    (NotANumber, Some(ROGUE), Refusal::NonFinite, false),
    (RoundToCome, Some(ROGUE), Refusal::WrongRound, true),
    (RoundThatIsOver, Some(ROGUE), Refusal::Late, true),
    // Three rounds in a row, and it would be selected no more.
    (Infinity, Some(ROGUE), Refusal::NonFinite, false),
    (SecondUpdate, Some(ROGUE), Refusal::Duplicate, true),
    (OtherRun, Some(ROGUE), Refusal::WrongRun, true),
    (NameOfAnother, Some(ROGUE), Refusal::Impostor, true),
    (StatusOfAnother, Some(ROGUE), Refusal::Impostor, true),
    (NoDevice, None, Refusal::Unknown, true),
    (HugeMessage, Some(ROGUE), Refusal::Oversized, true),
    (HugeUpdate, Some(ROGUE), Refusal::Oversized, false),
    (FalseDigest, Some(ROGUE), Refusal::Corrupt, true),
];

/// By then the aggregator has what was sent for a device.
const SETTLED: Duration = Duration::from_millis(500);

/// The program that plays both.
struct Rogue {
    link: Link,
    topics: Topics,
    scenario: Digest,
    dimension: usize,
    run: RunId,
    round: u32,
}

impl Rogue {
    /// Takes part until the run is over.
    async fn play(mut self) {
        while let Some(event) = self.link.next().await {
            match event {
                LinkEvent::Connected => {
                    self.link.send(Command::Subscribe(self.topics.name(Topic::Round))).await;
                    self.report(true).await;
                }
                LinkEvent::Message { payload, .. } => match Message::decode(&payload) {
                    Ok(Message::Announcement(announcement)) => {
                        if self.announced(announcement).await {
                            break;
                        }
                    }
                    other => panic!("not an announcement: {other:?}"),
                },
                LinkEvent::Disconnected | LinkEvent::Closed(_) => panic!("thrown out by the broker"),
            }
        }
        self.report(false).await;
        self.link.close(Duration::from_secs(5)).await;
    }

    /// True when the run is over.
    async fn announced(&mut self, announcement: Announcement) -> bool {
        self.run = announcement.run;
        match announcement.stage {
            RunStage::Gathering(_) => self.report(true).await,
            RunStage::Round(call) if call.round > self.round => {
                self.round = call.round;
                let (misdeed, _, _, behaves_after) = MISDEEDS[call.round as usize - 1];
                self.commit(misdeed).await;
                if behaves_after {
                    self.deliver(ROGUE, 0.5).await;
                }
                self.deliver(STEADY, 0.25).await;
            }
            RunStage::Round(_) => {}
            RunStage::Finished => return true,
        }
        false
    }

    async fn commit(&mut self, misdeed: Misdeed) {
        let (run, round, fine) = (self.run, self.round, vec![0.0; self.dimension]);
        let with = |value: f32| [&[value], &fine[1..]].concat();
        match misdeed {
            Garbage => self.publish(Topic::Update(ROGUE), &b"\xff\x00garbage"[..]).await,
            MessageOfAnotherTopic => {
                let status = Message::Status(status(self.scenario, ROGUE, true)).encode().unwrap();
                self.publish(Topic::Update(ROGUE), status).await;
            }
            WrongShape => self.send(ROGUE, &update(run, round, ROGUE, fine[1..].to_vec())).await,
            NotANumber => self.send(ROGUE, &update(run, round, ROGUE, with(f32::NAN))).await,
            Infinity => self.send(ROGUE, &update(run, round, ROGUE, with(f32::INFINITY))).await,
            RoundToCome => self.send(ROGUE, &update(run, round + 1, ROGUE, fine)).await,
            RoundThatIsOver => self.send(ROGUE, &update(run, round - 1, ROGUE, fine)).await,
            SecondUpdate => {
                self.deliver(ROGUE, 0.5).await;
                self.send(ROGUE, &update(run, round, ROGUE, fine)).await;
                // A broker keeps the order of what is sent for one device, not for several.
                tokio::time::sleep(SETTLED).await;
            }
            OtherRun => self.send(ROGUE, &update(RunId(run.0 ^ 1), round, ROGUE, fine)).await,
            NameOfAnother => self.send(ROGUE, &update(run, round, DeviceId(0), fine)).await,
            StatusOfAnother => {
                let status = Message::Status(status(self.scenario, DeviceId(0), false)).encode().unwrap();
                self.publish(Topic::Status(ROGUE), status).await;
            }
            NoDevice => {
                let stranger = DeviceId(99);
                self.send(stranger, &update(run, round, stranger, fine)).await;
            }
            HugeMessage => self.publish(Topic::Update(ROGUE), vec![0; MAX_MESSAGE_BYTES + 1]).await,
            HugeUpdate => {
                let huge = vec![0; content_limit(self.dimension) + 1];
                self.send(ROGUE, &Outgoing::new(run, round, Kind::Update, Some(ROGUE), huge)).await;
            }
            FalseDigest => {
                let honest = update(run, round, ROGUE, fine);
                let id = TransferId { blake3: Digest::blake3(b"something else"), ..honest.id() };
                for chunk in honest.chunks() {
                    self.chunk(ROGUE, Chunk { id, ..chunk }).await;
                }
            }
        }
    }

    /// What a device that behaves would send.
    async fn deliver(&mut self, device: DeviceId, value: f32) {
        let update = update(self.run, self.round, device, vec![value; self.dimension]);
        self.send(device, &update).await;
    }

    /// Sends a transfer on the topic of `device`.
    async fn send(&mut self, device: DeviceId, transfer: &Outgoing) {
        for chunk in transfer.chunks() {
            self.chunk(device, chunk).await;
        }
    }

    async fn chunk(&mut self, device: DeviceId, chunk: Chunk) {
        self.publish(Topic::Update(device), Message::Chunk(chunk).encode().unwrap()).await;
    }

    /// Both are here, or gone.
    async fn report(&mut self, online: bool) {
        for device in [ROGUE, STEADY] {
            let status = Message::Status(status(self.scenario, device, online)).encode().unwrap();
            self.publish(Topic::Status(device), status).await;
        }
    }

    async fn publish(&mut self, topic: Topic, payload: impl Into<Bytes>) {
        let (topic, payload) = (self.topics.name(topic), payload.into().into());
        self.link.send(Command::Publish(Publication { topic, payload, retain: false })).await;
    }
}

/// The status of a client that is made up.
pub(crate) fn status(scenario: Digest, device: DeviceId, online: bool) -> Status {
    Status {
        protocol: PROTOCOL_VERSION,
        device,
        boot: 1,
        up_ms: 0,
        online,
        scenario,
        shard: Digest::of(b"rogue"),
        examples: 50,
        version: "rogue".to_owned(),
        delivered: None,
        telemetry: Telemetry::default(),
        error: None,
        error_time: None,
        run: None,
        time: None,
        hardware: Box::default(),
    }
}

/// An update as a device sends it.
pub(crate) fn update(run: RunId, round: u32, device: DeviceId, parameters: Vec<f32>) -> Outgoing {
    let content = UpdateContent {
        parameters: Float32Array(parameters.into()),
        loss: 0.5,
        train_us: 1,
        telemetry: Telemetry::default(),
    };
    Outgoing::new(run, round, Kind::Update, Some(device), content.encode())
}

#[test]
fn what_a_device_must_not_send_is_refused_counted_and_named() {
    let rounds = MISDEEDS.len();
    let lab = Lab::new(&[&format!("rounds={rounds}"), "aggregation.rule=median"]);
    let spec = lab.scenario.dataset.spec();
    let model = models::build(&*lab.scenario.model, &spec.shape, spec.classes).unwrap();
    let mut aggregator = Process::start(lab.aggregator("run"));
    aggregator.wait_for_words("connected to");
    let clients = lab.clients(0..3);
    block_on(async {
        let broker = lab.broker().parse().unwrap();
        let link = Link::open(LinkOptions::new(broker, "rogue".to_owned(), Duration::from_secs(5)));
        let rogue = Rogue {
            link,
            topics: Topics::default(),
            scenario: lab.scenario.digest(),
            dimension: model.layout().dimension(),
            run: RunId(0),
            round: 0,
        };
        tokio::time::timeout(PATIENCE, rogue.play()).await.expect("the run ends");
    });
    aggregator.outcome().succeeded();
    all_succeed(clients);

    let mut counted = BTreeMap::new();
    for (record, (misdeed, device, reason, accepted)) in records(&lab.path("run")).into_iter().zip(MISDEEDS) {
        assert_eq!(record.refused_devices, [RefusedDevice { device, reason }], "{misdeed:?}");
        assert_eq!(record.refused, BTreeMap::from([(reason, 1)]), "{misdeed:?}");
        assert_eq!((record.accepted, record.absent), (if accepted { 5 } else { 4 }, vec![]), "{misdeed:?}");
        assert!(record.aggregated, "{misdeed:?}");
        *counted.entry(reason).or_default() += 1;
    }
    let summary = summary(&lab.path("run"));
    assert_eq!((summary.rounds as usize, summary.refused), (rounds, counted));
}
