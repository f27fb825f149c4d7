//! Every reason for a refusal, counted once for each transfer and named.

use super::*;
use crate::record::RefusedDevice;

/// What the record of a round says about `messages` of device 0, each sent twice, on top of the updates of the
/// others; and what device 0 is told.
fn refused(messages: &[(Topic, Message)]) -> (RoundRecord, Vec<Option<Refusal>>) {
    let mut script = Script::opened(SMALL, &[]);
    for (topic, message) in messages.iter().chain(messages) {
        script.receive(*topic, message);
    }
    (1..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
    let told = script.receipts(0);
    (script.close(), told)
}

fn piece(transfer: &Outgoing) -> Message {
    Message::Chunk(transfer.chunk(0).unwrap())
}

/// `reason` for one transfer of device 0, and nothing else.
fn assert_refused(transfer: &Outgoing, reason: Refusal) {
    let (record, _) = refused(&[(Topic::Update(DeviceId(0)), piece(transfer))]);
    assert_eq!(record.refused.into_iter().collect::<Vec<_>>(), [(reason, 1)]);
    assert_eq!(record.refused_devices, [RefusedDevice { device: Some(DeviceId(0)), reason }]);
    assert_eq!((record.selected, record.accepted), (3, 2));
}

#[test]
fn a_round_that_has_not_been_called() {
    assert_refused(&small(0, 2), Refusal::WrongRound);
    assert_refused(&small(0, u32::MAX), Refusal::WrongRound);
}

#[test]
fn a_round_that_is_over() {
    assert_refused(&small(0, 0), Refusal::Late);
}

#[test]
fn another_run() {
    let id = small(0, 1);
    let content: Vec<u8> = id.chunks().flat_map(|chunk| chunk.data.to_vec()).collect();
    assert_refused(&Outgoing::new(RunId(8), 1, Kind::Update, Some(DeviceId(0)), content), Refusal::WrongRun);
}

#[test]
fn another_device() {
    assert_refused(&small(1, 1), Refusal::Impostor);
}

#[test]
fn two_impostors_with_the_same_update_are_both_named() {
    let on = |device| (Topic::Update(DeviceId(device)), piece(&small(2, 1)));
    let (record, _) = refused(&[on(0), on(1)]);
    assert_eq!(record.refused[&Refusal::Impostor], 2);
    let named: Vec<_> = record.refused_devices.iter().map(|refused| refused.device).collect();
    assert_eq!(named, [Some(DeviceId(0)), Some(DeviceId(1))]);
}

#[test]
fn no_update_at_all() {
    let model = Outgoing::new(RUN, 1, Kind::Crafted, Some(DeviceId(0)), vec![0; 8]);
    assert_refused(&model, Refusal::Malformed);
    let garbage = Outgoing::new(RUN, 1, Kind::Update, Some(DeviceId(0)), vec![0xff; 8]);
    assert_refused(&garbage, Refusal::Malformed);
}

#[test]
fn another_shape() {
    assert_refused(&update(0, 1, 1.0, SMALL + 1), Refusal::WrongShape);
    assert_refused(&update(0, 1, 1.0, 0), Refusal::WrongShape);
}

#[test]
fn values_that_are_not_finite() {
    assert_refused(&update(0, 1, f32::NAN, SMALL), Refusal::NonFinite);
    assert_refused(&update(0, 1, f32::NEG_INFINITY, SMALL), Refusal::NonFinite);
}

#[test]
fn more_bytes_than_any_update_has() {
    assert_refused(&update(0, 1, 1.0, LARGE), Refusal::Oversized);
}

#[test]
fn another_content_than_announced() {
    let mut chunk = small(0, 1).chunk(0).unwrap();
    let mut data = chunk.data.to_vec();
    data[0] ^= 1;
    chunk.data = data.into();
    let (record, told) = refused(&[(Topic::Update(DeviceId(0)), Message::Chunk(chunk))]);
    assert_eq!(record.refused.into_iter().collect::<Vec<_>>(), [(Refusal::Corrupt, 1)]);
    assert_eq!(told, [], "it is asked again, not turned away");
    assert_eq!(record.absent, [DeviceId(0)]);
}

#[test]
fn a_second_update_in_one_round() {
    let on = Topic::Update(DeviceId(0));
    let (record, told) = refused(&[(on, piece(&small(0, 1))), (on, piece(&update(0, 1, 2.0, SMALL)))]);
    assert_eq!(record.refused.into_iter().collect::<Vec<_>>(), [(Refusal::Duplicate, 1)]);
    assert_eq!(record.accepted, 3);
    assert_eq!(told, [None, Some(Refusal::Duplicate)].repeat(2), "each is told again");
}

#[test]
fn a_device_that_was_not_selected() {
    let mut script = Script::opened(SMALL, &["fleet.selected=2"]);
    let selected = script_selection(&script);
    let other = (0..DEVICES).find(|device| !selected.contains(&DeviceId(*device))).unwrap();
    script.delivers(&small(other, 1));
    let record = script.close();
    let reason = Refusal::Unknown;
    assert_eq!(record.refused_devices, [RefusedDevice { device: Some(DeviceId(other)), reason }]);
}

fn script_selection(script: &Script) -> Vec<DeviceId> {
    script.scenario.selection(1).into_iter().collect()
}

#[test]
fn strangers_and_strange_bytes() {
    let mut script = Script::opened(SMALL, &[]);
    script.receive(Topic::Update(DeviceId(DEVICES)), &piece(&small(DEVICES, 1)));
    script.receive(Topic::Update(DeviceId(u32::MAX)), &piece(&small(0, 1)));
    script.receive_raw(Topic::Update(DeviceId(0)), &b"\xff\xff"[..]);
    script.receive_raw(Topic::Status(DeviceId(0)), vec![0; 2 << 20]);
    script.receive_raw(Topic::Status(DeviceId(0)), &b""[..]);
    script.receive(Topic::Ask(DeviceId(1)), &piece(&small(1, 1)));
    let record = script.close();
    assert_eq!(record.refused[&Refusal::Unknown], 2);
    assert_eq!(record.refused[&Refusal::Malformed], 2);
    assert_eq!(record.refused[&Refusal::Oversized], 1);
    assert_eq!(record.refused_devices.len(), 4);
}

#[test]
fn a_late_update_is_counted_once_and_gets_a_receipt() {
    let mut script = Script::opened(SMALL, &[]);
    let late = small(0, 1);
    let first = script.close();
    assert_eq!(first.refused.len(), 0);
    script.delivers(&late);
    script.said.clear();
    let second = script.close();
    assert_eq!(second.refused[&Refusal::Late], 1);
    script.said.clear();
    script.delivers(&late);
    assert_eq!(script.receipts(0), [Some(Refusal::Late)]);
    assert_eq!(script.close().refused.len(), 0, "already counted in the round before");
}

#[test]
fn a_loss_that_overflows_does_not_reach_the_record() {
    let mut script = Script::opened(SMALL, &[]);
    for device in 0..DEVICES {
        let loss = if device == 2 { f32::NAN } else { f32::MAX };
        let content = UpdateContent {
            parameters: Float32Array([0.0; SMALL].into()),
            loss,
            train_us: 0,
            telemetry: Telemetry::default(),
        };
        let content = content.encode();
        script.delivers(&Outgoing::new(RUN, 1, Kind::Update, Some(DeviceId(device)), content));
    }
    assert_eq!(script.close().train_loss, Some(f32::MAX));
}
