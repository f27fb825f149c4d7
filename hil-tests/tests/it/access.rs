//! The access control of `firmware-configs/mosquitto`, line by line against a real Mosquitto.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use link::{Command, Link, LinkEvent};
use tokio::time::timeout;
use wire::Publication;
use wire::identity::DeviceId;

use crate::certificates::Validity;
use crate::process::{PATIENCE, block_on};
use crate::secured::{Grants, Secured};

const COLLUDER: &str = "device-003";
/// A device with a certificate of the authority that is not of the fleet any more.
const REMOVED: &str = "device-005";
/// Who is tried out: a device, a colluder, the two with names of their own, and two whom nothing is granted.
const WHO: [&str; 6] = ["device-000", COLLUDER, "aggregator", "operator", REMOVED, "visitor"];
const CHANNELS: [&str; 4] = ["update", "ask", "inbox", "status"];

/// What each may hear and say besides, in these tests only: what is answered there shows that the broker has come to it.
fn echo(who: &str) -> String {
    format!("echo/{who}")
}

/// Every topic of the protocol that makes a difference to `who`; its echo comes last.
fn topics(who: &str) -> Vec<String> {
    let mut topics =
        vec!["outpost/round".to_owned(), "outpost/model".to_owned(), "outpost/elsewhere".to_owned()];
    topics.extend(["device-000", "device-001", COLLUDER].map(|device| format!("outpost/collusion/{device}")));
    for device in WHO {
        topics.extend(CHANNELS.map(|channel| format!("outpost/devices/{device}/{channel}")));
    }
    topics.push(echo(who));
    topics
}

/// What the access control is meant to let `who` do with `topic`: read, write.
fn meant(who: &str, topic: &str, full_knowledge: bool) -> (bool, bool) {
    if topic == echo(who) {
        return (true, true);
    }
    let levels: Vec<_> = topic.split('/').skip(1).collect();
    let colluder = who == COLLUDER;
    let member = colluder || who == "device-000";
    match *levels {
        ["round"] => (member || who == "operator", who == "aggregator"),
        ["model"] => (member, who == "aggregator"),
        ["collusion", device] => (member && device == who, colluder),
        ["devices", device, channel] => {
            let (own, aggregator) = (member && device == who, who == "aggregator");
            match channel {
                "status" => (own || aggregator || colluder || who == "operator", own),
                "update" => (aggregator || (colluder && full_knowledge), own),
                "ask" => (aggregator, own),
                "inbox" => (own, aggregator),
                other => panic!("{other}"),
            }
        }
        _ => (false, false),
    }
}

/// A link on which `topics` are subscribed to, for certain.
async fn listening(broker: &Secured, name: &str, topics: &[String]) -> Link {
    let mut link = broker.link(name);
    while !matches!(link.next().await.expect("a connection"), LinkEvent::Connected) {}
    for topic in topics {
        link.send(Command::Subscribe(topic.clone())).await;
    }
    let own = topics.last().unwrap();
    link.send(publication(own, "ready")).await;
    collect(&mut link, own, "ready").await;
    link
}

fn publication(topic: &str, text: &str) -> Command {
    let payload = Bytes::copy_from_slice(text.as_bytes()).into();
    Command::Publish(Publication { topic: topic.to_owned(), payload, retain: false })
}

/// The topics on which `text` comes in until it does on `last`.
async fn collect(link: &mut Link, last: &str, text: &str) -> BTreeSet<String> {
    let mut heard = BTreeSet::new();
    while !heard.contains(last) {
        match link.next().await.expect("a connection") {
            LinkEvent::Message { topic, payload, .. } if payload == text => {
                heard.insert(topic);
            }
            LinkEvent::Closed(result) => panic!("{result:?}"),
            _ => {}
        }
    }
    heard
}

async fn everyone_may_do_what_is_meant_and_nothing_else(broker: &Secured, full_knowledge: bool) {
    let mut tried = BTreeSet::new();
    for who in WHO {
        let topics = topics(who);
        let own = topics.last().unwrap().clone();
        let meant = |pick: fn((bool, bool)) -> bool| -> BTreeSet<String> {
            topics.iter().filter(|topic| pick(meant(who, topic, full_knowledge))).cloned().collect()
        };
        let mut link = listening(broker, who, &topics).await;
        let mut observer = listening(broker, "observer", &topics).await;
        for topic in &topics {
            link.send(publication(topic, "written")).await;
        }
        assert_eq!(collect(&mut observer, &own, "written").await, meant(|(_, write)| write), "{who} writes");
        for topic in &topics {
            observer.send(publication(topic, "to be read")).await;
        }
        assert_eq!(collect(&mut link, &own, "to be read").await, meant(|(read, _)| read), "{who} reads");
        tried.insert(who);
        link.close(Duration::from_secs(5)).await;
        observer.close(Duration::from_secs(5)).await;
    }
    assert_eq!(tried.len(), WHO.len());
}

#[test]
fn what_the_access_control_does_not_grant_never_arrives() {
    for full_knowledge in [false, true] {
        let grants = Grants { colluders: vec![DeviceId(1), DeviceId(3)], full_knowledge };
        let Some(broker) = Secured::start(&grants, Validity::Always) else { return };
        let all = everyone_may_do_what_is_meant_and_nothing_else(&broker, full_knowledge);
        block_on(async { timeout(PATIENCE, all).await.expect("what is allowed arrives") });
    }
}
