//! The embedded broker's memory, measured from outside: alone in its process, for other tests take memory, too.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::Duration;

use aggregator_node::broker::{self, Settings};
use link::{Command, Link, LinkEvent, LinkOptions};
use wire::identity::DeviceId;
use wire::{Payload, Publication, Topic, Topics};

const DEVICES: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(120);

/// What this process has in memory, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn publication(topic: String, bytes: usize, retain: bool) -> Command {
    let payload = Payload::from(bytes::Bytes::from(vec![7; bytes]));
    Command::Publish(Publication { topic, payload, retain })
}

async fn connected(link: &mut Link, filters: Vec<String>) {
    while !matches!(link.next().await, Some(LinkEvent::Connected)) {}
    for filter in filters {
        link.send(Command::Subscribe(filter)).await;
    }
}

async fn message(link: &mut Link) -> String {
    loop {
        match link.next().await {
            Some(LinkEvent::Message { topic, .. }) => return topic,
            Some(LinkEvent::Connected) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The traffic of rounds: an announcement, a model, and an update and a receipt for each device.
async fn play(rounds: usize, aggregator: &mut Link, devices: &mut [Link], topics: &Topics) {
    for _ in 0..rounds {
        aggregator.send(publication(topics.name(Topic::Round), 300, true)).await;
        aggregator.send(publication(topics.name(Topic::Model), 8_000, false)).await;
        for (number, device) in devices.iter_mut().enumerate() {
            let id = DeviceId(number as u32);
            for _ in 0..2 {
                message(device).await;
            }
            device.send(publication(topics.name(Topic::Update(id)), 8_000, false)).await;
            device.send(publication(topics.name(Topic::Status(id)), 400, true)).await;
        }
        for _ in 0..2 * devices.len() {
            message(aggregator).await;
        }
    }
}

/// Memory after some rounds, and after `rounds` more.
fn assert_nothing_is_left_behind_by(rounds: usize) {
    let (topics, owner) = (Topics::default(), "aggregator-1".to_owned());
    let address = "127.0.0.1:0".parse().unwrap();
    let settings = Settings { address, topics: topics.clone(), devices: DEVICES, owner: owner.clone() };
    let broker = broker::start(settings).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let open = |id: String| Link::open(LinkOptions::new(broker.address.clone(), id, PATIENCE));
        let mut aggregator = open(owner);
        connected(&mut aggregator, vec![topics.every_status(), topics.every_update()]).await;
        let mut devices = Vec::new();
        for number in 0..DEVICES {
            let mut device = open(format!("device-{number}"));
            connected(&mut device, vec![topics.name(Topic::Round), topics.name(Topic::Model)]).await;
            // Until it hears what it publishes itself, its subscriptions may be under way.
            device.send(publication(topics.name(Topic::Model), 10, false)).await;
            message(&mut device).await;
            devices.push(device);
        }
        // What came of the later ones' first messages.
        for (number, device) in devices.iter_mut().enumerate() {
            for _ in number + 1..DEVICES as usize {
                message(device).await;
            }
        }
        play(200, &mut aggregator, &mut devices, &topics).await;
        let before = resident();
        play(rounds, &mut aggregator, &mut devices, &topics).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 << 10, "{grown} KiB");
    });
}

#[test]
fn a_thousand_rounds_leave_nothing_behind_at_the_embedded_broker() {
    assert_nothing_is_left_behind_by(1_000);
}

#[test]
#[ignore = "nightly: a quarter of a minute"]
fn five_thousand_rounds_leave_nothing_behind_at_the_embedded_broker() {
    assert_nothing_is_left_behind_by(5_000);
}
