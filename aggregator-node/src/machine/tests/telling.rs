//! What devices tell of themselves, in the record of the round.

use record::DeviceRecord;
use wire::{Telemetry, Throttling};

use super::*;

fn told(device: u32, round: u32, value: f32, telemetry: Telemetry) -> Outgoing {
    let parameters = Float32Array([value; SMALL].into());
    let content = UpdateContent { parameters, loss: 0.5, train_us: 1_250_000, telemetry };
    Outgoing::new(RUN, round, Kind::Update, Some(DeviceId(device)), content.encode())
}

/// What a message with the first piece of `update` costs.
fn bytes(update: &Outgoing) -> u64 {
    length(&Message::Chunk(update.chunk(0).unwrap()))
}

fn length(message: &Message) -> u64 {
    message.encode().unwrap().len() as u64
}

#[test]
fn each_devices_words_and_bytes_are_recorded() {
    let mut script = Script::opened(SMALL, &[]);
    let telemetry = Telemetry {
        rss_kib: Some(6400),
        temperature: Some(-35),
        throttled: Some(Throttling(4)),
        clock: Some(600),
        energy: Some(2_750_000),
    };
    let update = told(2, 1, 1.0, telemetry);
    script.delivers(&small(0, 1));
    script.delivers(&update);
    let ask = Message::Missing(Missing { id: update.id(), chunks: Vec::new() });
    script.receive(Topic::Ask(DeviceId(2)), &ask);
    let record = script.close();
    assert_eq!(record.absent, [DeviceId(1)]);
    // The first round is charged with the statuses by which the devices came.
    let status = |device: u32| length(&Message::Status(script.status(device)));
    let expected = [
        DeviceRecord::new(DeviceId(0), status(0) + bytes(&small(0, 1)), 1, &Telemetry::default()),
        DeviceRecord::new(DeviceId(2), status(2) + bytes(&update) + length(&ask), 1_250_000, &telemetry),
    ];
    assert_eq!(record.devices, expected);
}

#[test]
fn bytes_are_counted_anew_in_each_round() {
    let mut script = Script::opened(SMALL, &[]);
    let telemetry = Telemetry { clock: Some(600), ..Telemetry::default() };
    script.delivers(&told(0, 1, 1.0, telemetry));
    script.close();
    script.said.clear();
    let update = told(0, 2, 1.0, telemetry);
    script.delivers(&update);
    assert_eq!(script.close().devices[0].bytes_up, bytes(&update));
}

#[test]
fn nothing_is_recorded_of_devices_that_tell_nothing() {
    let mut script = Script::opened(SMALL, &[]);
    (0..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
    let record = script.close();
    assert_eq!((record.accepted, record.devices), (DEVICES, vec![]));
}

#[test]
fn a_refused_update_tells_nothing() {
    let mut script = Script::opened(SMALL, &[]);
    let telemetry = Telemetry { rss_kib: Some(6400), ..Telemetry::default() };
    script.delivers(&told(0, 1, f32::NAN, telemetry));
    script.delivers(&small(1, 1));
    assert_eq!(script.close().devices, []);
}

#[test]
fn a_status_with_news_changes_nothing_in_the_round() {
    let mut script = Script::opened(SMALL, &[]);
    let status = Status { delivered: Some(7), error: Some("no memory".into()), ..script.status(0) };
    script.says(status);
    (0..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
    let record = script.close();
    assert_eq!((record.accepted, record.refused.len()), (DEVICES, 0));
}
