//! Devices that send as fast as they can.

use record::MutedDevice;

use super::*;

/// More than any budget of these small models.
const MANY: usize = 2_000;

/// What a device floods with.
type Flood = fn(&Script, usize) -> (Topic, Message);

const ROGUE: Topic = Topic::Update(DeviceId(0));

fn chunk(outgoing: &Outgoing) -> Message {
    Message::Chunk(outgoing.chunk(0).unwrap())
}

/// An update of its own for every `index`.
fn other(round: u32, index: usize) -> Message {
    chunk(&update(0, round, index as f32, SMALL))
}

const FLOODS: [(&str, Flood); 8] = [
    ("statuses", |script, _| (Topic::Status(DeviceId(0)), Message::Status(script.status(0)))),
    ("garbage", |script, _| (ROGUE, Message::Status(script.status(0)))),
    ("late updates", |_, index| (ROGUE, other(0, index))),
    ("one late update", |_, _| (ROGUE, other(0, 0))),
    ("repeated updates", |_, _| (ROGUE, other(1, 0))),
    ("second updates", |_, index| (ROGUE, other(1, index))),
    ("unfinished updates", |_, index| (ROGUE, chunk(&update(0, 1, index as f32, LARGE)))),
    ("questions", |script, _| {
        let blake3 = script.call.as_ref().unwrap().model.blake3;
        let id = wire::TransferId { run: RUN, round: 1, kind: Kind::Model, device: None, blake3 };
        (Topic::Ask(DeviceId(0)), Message::Missing(Missing { id, chunks: Vec::new() }))
    }),
];

#[test]
fn no_flood_is_answered_more_than_eight_times_a_second_or_read_beyond_its_budget() {
    for (what, flood) in FLOODS {
        let mut script = Script::opened(if what == "unfinished updates" { LARGE } else { SMALL }, &[]);
        let bytes: usize = (0..MANY)
            .map(|index| {
                let (topic, message) = flood(&script, index);
                let payload = message.encode().unwrap();
                let bytes = payload.len();
                script.receive_raw(topic, payload);
                bytes
            })
            .sum();
        let told = script.messages(Topic::Inbox(DeviceId(0))).len();
        assert!(told <= 9, "{what}: {told} answers");
        (1..DEVICES).for_each(|device| {
            let dimension = if what == "unfinished updates" { LARGE } else { SMALL };
            script.delivers(&update(device, 1, 1.0, dimension));
        });
        let jobs = script.jobs();
        assert_eq!(jobs.len(), 1, "{what}: the round does not wait for one that floods");
        let aggregate = script.machine.global().to_vec();
        script.computes(Ok(aggregate));
        let record = script.record().unwrap();
        let [MutedDevice { device: Some(DeviceId(0)), messages, bytes: dropped }] = record.muted[..] else {
            panic!("{what}: {:?}", record.muted)
        };
        assert!(messages > MANY as u64 * 8 / 10, "{what}: {messages} dropped");
        assert!(dropped < bytes as u64 && record.bytes_up > bytes as u64, "{what}: all bytes are counted");
        assert_eq!(record.absent, [], "{what}");
        assert_eq!(script.called().unwrap().selected[..], [DeviceId(1), DeviceId(2)], "{what}");
    }
}

#[test]
fn transfers_that_never_end_are_refused_once_they_hold_two_updates_and_end_with_their_round() {
    let mut script = Script::opened(LARGE, &[]);
    // Two of three chunks each: three of them hold two updates.
    for value in 0..5_u8 {
        update(0, 1, f32::from(value), LARGE).chunks().take(2).for_each(|chunk| script.delivers_piece(chunk));
    }
    (1..DEVICES).for_each(|device| script.delivers(&update(device, 1, 1.0, LARGE)));
    let record = script.close();
    assert_eq!(record.refused.into_iter().collect::<Vec<_>>(), [(Refusal::Oversized, 2)]);
    assert_eq!((record.accepted, record.absent), (2, vec![DeviceId(0)]));
    (0..DEVICES).for_each(|device| script.delivers(&update(device, 2, 1.0, LARGE)));
    script.computes(Ok(vec![1.0; LARGE]));
    assert_eq!(script.record().unwrap().accepted, 3, "there is room again");
}

#[test]
fn who_stops_flooding_is_selected_again() {
    let mut script = Script::opened(SMALL, &[]);
    (0..MANY).for_each(|_| script.arrives(0));
    (1..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
    script.computes(Ok(vec![1.0; SMALL]));
    script.wait_until(script.now.0 + 11_000);
    (1..DEVICES).for_each(|device| script.delivers(&small(device, 2)));
    script.computes(Ok(vec![1.0; SMALL]));
    let call = script.called().unwrap();
    assert_eq!((call.round, call.selected.len()), (3, 3));
}

/// What is subscribed to, `+` and `-` for each change, since `said` was emptied.
fn subscriptions(script: &mut Script) -> Vec<String> {
    let said = std::mem::take(&mut script.said);
    let changes = said.into_iter().filter_map(|action| match action {
        Action::Subscribe(filter) => Some(format!("+{filter}")),
        Action::Unsubscribe(filter) => Some(format!("-{filter}")),
        _ => None,
    });
    changes.collect()
}

#[test]
fn the_topics_of_a_device_that_floods_are_left_until_it_is_heard_again() {
    const CHANNELS: [&str; 3] = ["status", "update", "ask"];
    let of = |sign: &str, device: &str| {
        CHANNELS.map(|channel| format!("{sign}outpost/devices/{device}/{channel}"))
    };
    let mut script = Script::opened(SMALL, &[]);
    script.said.clear();
    (0..MANY).for_each(|_| script.arrives(0));
    let one_by_one = [of("+", "device-001"), of("+", "device-002"), of("-", "+")].concat();
    assert_eq!(subscriptions(&mut script), one_by_one, "nothing is missed in between");
    (0..MANY).for_each(|_| script.arrives(1));
    assert_eq!(subscriptions(&mut script), of("-", "device-001"));
    script.handle(Event::Disconnected);
    script.handle(Event::Connected);
    let anew = [of("+", "+"), of("+", "device-002"), of("-", "+")].concat();
    assert_eq!(subscriptions(&mut script), anew, "of a new connection");
    script.wait_until(script.now.0 + 10_000);
    assert_eq!(subscriptions(&mut script), [of("+", "device-000"), of("+", "device-001")].concat());
}

#[test]
fn strangers_are_counted_together_and_harm_nobody() {
    let mut script = Script::opened(SMALL, &[]);
    for index in 0..MANY {
        script.receive(Topic::Update(DeviceId(1_000 + index as u32)), &other(1, 0));
    }
    (0..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
    let record = script.close();
    assert_eq!(record.accepted, DEVICES);
    let [MutedDevice { device: None, messages, .. }] = record.muted[..] else { panic!("{:?}", record.muted) };
    assert_eq!(
        messages + u64::from(record.refused[&Refusal::Unknown]),
        MANY as u64,
        "not one is lost count of"
    );
}
