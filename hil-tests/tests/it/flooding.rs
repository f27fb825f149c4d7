//! A device that sends as fast as it can: the others end in the same model, nobody of them is absent, the record names
//! it and counts what was dropped, and the aggregator's memory stays where it was.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use learning::models;
use wire::identity::{DeviceId, RunId};
use wire::{Kind, Message, Missing, Topic, Topics, TransferId};

use crate::lab::{Lab, all_succeed, records};
use crate::misbehaviour::{status, update};
use crate::mosquitto;
use crate::process::{Process, stored, summary};

/// The device that floods, the last of the fleet.
const ROGUE: DeviceId = DeviceId(5);

/// How much more memory a flooded aggregator may take at its peak, in KiB.
const MORE_KIB: u64 = 100 << 10;

/// Messages of one kind are sent again and again.
#[derive(Clone, Copy, Debug)]
enum Flood {
    Statuses,
    Garbage,
    FinishedRounds,
    Unfinished,
    Questions,
    Mixed,
}

/// A client that knows no more of MQTT than it takes to flood.
struct Flooder {
    stream: TcpStream,
    packets: Vec<Vec<u8>>,
}

impl Flooder {
    fn connect(broker: &str, packets: Vec<Vec<u8>>) -> Self {
        let mut stream = TcpStream::connect(broker.trim_start_matches("mqtt://")).unwrap();
        let id = b"flooder";
        let mut connect = vec![0x10, 12 + id.len() as u8, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
        connect.extend([0, id.len() as u8]);
        connect.extend(id);
        stream.write_all(&connect).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x20, 2, 0, 0], "CONNACK");
        Flooder { stream, packets }
    }

    /// Floods until `stop` is set or the broker hangs up; gives the number of messages.
    fn flood(mut self, stop: &AtomicBool) -> u64 {
        let mut incoming = self.stream.try_clone().unwrap();
        // What the broker acknowledges must be read, or it stops reading.
        let reader =
            thread::spawn(move || while incoming.read(&mut [0; 16_000]).is_ok_and(|bytes| bytes > 0) {});
        let mut sent = 0;
        self.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        while !stop.load(Ordering::Relaxed) {
            for packet in &self.packets {
                match self.stream.write_all(packet) {
                    Ok(()) => sent += 1,
                    Err(_) => break,
                }
            }
        }
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        reader.join().unwrap();
        sent
    }
}

/// An MQTT publication at QoS 1.
fn packet(topic: &str, payload: &[u8], id: u16) -> Vec<u8> {
    let mut packet = vec![0x32];
    let mut length = 2 + topic.len() + 2 + payload.len();
    loop {
        let byte = (length % 128) as u8;
        length /= 128;
        packet.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend(payload);
    packet
}

/// What the rogue device sends, over and over.
fn packets(lab: &Lab, flood: Flood, run: RunId) -> Vec<Vec<u8>> {
    let spec = lab.scenario.dataset.spec();
    let dimension =
        models::build(&*lab.scenario.model, &spec.shape, spec.classes).unwrap().layout().dimension();
    let update = |round, value, dimension| update(run, round, ROGUE, vec![value; dimension]);
    let status = status(lab.scenario.digest(), ROGUE, true);
    let late = |round: u32| {
        (Topic::Update(ROGUE), Message::Chunk(update(0, round as f32, dimension).chunk(0).unwrap()))
    };
    let unfinished = |index: u32| {
        // The first of two pieces, of a transfer for each round and value.
        let mut chunk = update(1 + index % 60, index as f32, dimension).chunk(0).unwrap();
        (chunk.count, chunk.size) = (2, 2 * chunk.data.len() as u32);
        (Topic::Update(ROGUE), Message::Chunk(chunk))
    };
    let question = |round: u32| {
        let id = TransferId { kind: Kind::Model, device: None, ..update(round, 0.0, dimension).id() };
        (Topic::Ask(ROGUE), Message::Missing(Missing { id, chunks: Vec::new() }))
    };
    let online = (Topic::Status(ROGUE), Message::Status(status));
    let encoded = |(topic, message): (Topic, Message)| (topic, message.encode().unwrap().to_vec());
    let of = |flood| -> Vec<(Topic, Vec<u8>)> {
        match flood {
            Flood::Statuses => vec![encoded(online.clone())],
            Flood::Garbage => vec![(Topic::Update(ROGUE), vec![0xff; 30_000])],
            Flood::FinishedRounds => (0..8).map(late).map(encoded).collect(),
            Flood::Unfinished => (0..500).map(unfinished).map(encoded).collect(),
            Flood::Questions => (0..8).map(question).map(encoded).collect(),
            Flood::Mixed => Vec::new(),
        }
    };
    let chosen = match flood {
        Flood::Mixed => {
            use Flood::{FinishedRounds, Garbage, Questions, Statuses, Unfinished};
            [Statuses, Garbage, FinishedRounds, Unfinished, Questions].into_iter().flat_map(of).collect()
        }
        flood => of(flood),
    };
    // It says once that it is here, so that it is selected and waited for.
    let all = [vec![encoded(online.clone())], chosen].concat();
    let named = all.into_iter().zip((1..=u16::MAX).cycle());
    named.map(|((topic, payload), id)| packet(&Topics::default().name(topic), &payload, id)).collect()
}

/// A run of five devices of six; the sixth is dead, or floods. Its model, the aggregator's peak memory in KiB, and the
/// rounds a second.
fn run(lab: &Lab, out: &str, broker: Option<&str>, flood: Option<Flood>) -> (String, u64, f64) {
    let mut command = match broker {
        Some(_) => lab.aggregator_without_broker(out),
        None => lab.aggregator(out),
    };
    command.args(broker.map(|broker| ["--broker", broker]).iter().flatten());
    // The roll is complete without it, dead or not.
    command.args(["--without", &ROGUE.to_string()]);
    let own = lab.broker();
    let broker = broker.unwrap_or(&own);
    let mut aggregator = Process::start(command);
    aggregator.wait_for_words("connected to");
    let run = stored(&lab.path(out)).manifest().run;
    let stop = Arc::new(AtomicBool::new(false));
    let flooding = flood.map(|flood| {
        let (flooder, stop) = (Flooder::connect(broker, packets(lab, flood, run)), stop.clone());
        thread::spawn(move || flooder.flood(&stop))
    });
    let clients = lab.clients_at(broker, 0..5);
    let mut peak = 0;
    while aggregator.is_running() {
        peak = peak.max(peak_kib(aggregator.id()));
        thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Ordering::Relaxed);
    let sent = flooding.map_or(0, |flooding| flooding.join().unwrap());
    aggregator.outcome().succeeded();
    all_succeed(clients);
    let records = records(&lab.path(out));
    for record in &records {
        assert!(record.absent.iter().all(|device| *device == ROGUE), "{flood:?}: {record:?}");
    }
    let dropped: u64 = records.iter().flat_map(|record| &record.muted).map(|muted| muted.messages).sum();
    let named = records.iter().flat_map(|record| &record.muted).all(|muted| muted.device == Some(ROGUE));
    assert!(named, "{flood:?}: only the rogue is muted");
    assert_eq!(dropped > 0, flood.is_some(), "{flood:?}");
    let summary = summary(&lab.path(out));
    let seconds: f64 = records.iter().map(|record| record.seconds).sum();
    let rate = records.len() as f64 / seconds;
    eprintln!("{flood:?}: {sent} sent, {dropped} dropped, {rate:.1} rounds/s, {peak} KiB");
    (summary.model_sha256, peak, rate)
}

/// The most memory that a process has had so far; 0 where that is not told.
fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

fn lab(rounds: u32) -> Lab {
    let settings = [&format!("rounds={rounds}"), "fleet.devices=6", "aggregation.rule=median"];
    Lab::new(&settings)
}

fn assert_harmless(lab: &Lab, broker: Option<&str>, floods: &[Flood]) {
    let begun = Instant::now();
    let (model, memory, rate) = run(lab, "undisturbed", broker, None);
    for &flood in floods {
        let (flooded_model, flooded_memory, flooded_rate) =
            run(lab, &format!("{flood:?}"), broker, Some(flood));
        assert_eq!(flooded_model, model, "{flood:?}: another model of the others");
        let more = flooded_memory.saturating_sub(memory);
        assert!(more < MORE_KIB, "{flood:?}: {more} KiB more memory");
        eprintln!("{flood:?}: {:.2} of the undisturbed rate; {:?}", flooded_rate / rate, begun.elapsed());
    }
}

#[test]
fn a_flood_over_mosquitto_harms_nobody_and_is_counted() {
    let Some(broker) = mosquitto::start() else { return };
    assert_harmless(&lab(40), Some(&broker.address().to_string()), &[Flood::Mixed]);
}

#[test]
#[ignore = "nightly: each kind of flood alone"]
fn no_kind_of_flood_over_mosquitto_harms_anybody() {
    let Some(broker) = mosquitto::start() else { return };
    let floods =
        [Flood::Statuses, Flood::Garbage, Flood::FinishedRounds, Flood::Unfinished, Flood::Questions];
    assert_harmless(&lab(200), Some(&broker.address().to_string()), &floods);
}

#[test]
#[ignore = "nightly: each kind of flood alone"]
fn no_kind_of_flood_over_the_embedded_broker_harms_anybody() {
    let floods =
        [Flood::Statuses, Flood::Garbage, Flood::FinishedRounds, Flood::Unfinished, Flood::Questions];
    assert_harmless(&lab(200), None, &floods);
}
