//! Every reason for a refusal, counted once for each transfer and named.

use record::RefusedDevice;

use super::*;

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
    assert_eq!(told, [None, Some(Refusal::Duplicate)], "each is told once a second");
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
fn a_loss_that_cannot_be_is_counted_and_not_recorded() {
    let mut script = Script::opened(SMALL, &[]);
    for (device, loss) in [(0, 0.5), (1, 1.0), (2, 1e38)] {
        let parameters = Float32Array([0.0; SMALL].into());
        let content = UpdateContent { parameters, loss, train_us: 0, telemetry: Telemetry::default() };
        script.delivers(&Outgoing::new(RUN, 1, Kind::Update, Some(DeviceId(device)), content.encode()));
    }
    let record = script.close();
    assert_eq!((record.train_loss, record.losses_ignored), (Some(0.75), 1));
}

#[test]
fn the_record_names_who_sent_what_no_training_can_go_on_from() {
    let mut script = Script::opened(SMALL, &[]);
    (0..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
    let aggregate = Aggregate { parameters: vec![1.0; SMALL], ..Aggregate::default() };
    let unusable = vec![DeviceId(1)];
    script.handle(Event::Done(Outcome::Aggregated { round: 1, result: Ok(aggregate), unusable }));
    script.evaluates();
    let record = script.record().unwrap();
    let reason = Refusal::NonFinite;
    assert_eq!(record.refused_devices, [RefusedDevice { device: Some(DeviceId(1)), reason }]);
    assert_eq!((record.accepted, record.aggregated), (2, true));
}

/// Seven devices and Bulyan that assumes one compromised: none can be spared.
const BULYAN: [&str; 4] = ["fleet.devices=7", "fleet.compromised=1", "aggregation.rule=bulyan", "rounds=9"];

/// A round of these in which device 6 sends `value`.
fn round_of_bulyan(script: &mut Script, round: u32, value: f32) -> RoundRecord {
    script.said.clear();
    (0..6).for_each(|device| script.delivers(&small(device, round)));
    script.delivers(&update(6, round, value, SMALL));
    script.close()
}

#[test]
fn a_refused_update_does_not_keep_bulyan_from_the_others_and_its_sender_is_set_aside() {
    let mut script = Script::new(SMALL, &BULYAN);
    (0..7).for_each(|device| script.arrives(device));
    for round in 1..=3 {
        let record = round_of_bulyan(&mut script, round, f32::NAN);
        assert_eq!((record.accepted, record.aggregated, record.byzantine), (6, true, Some(0)));
    }
    assert_eq!(script.called().unwrap().selected.len(), 6);
    script.arrives(6);
    let record = round_of_bulyan(&mut script, 4, 1.0);
    assert_eq!((record.selected, record.aggregated, record.byzantine), (6, true, Some(0)));
    let restarted = Status { boot: 99, ..script.status(6) };
    script.says(restarted);
    round_of_bulyan(&mut script, 5, 1.0);
    let record = round_of_bulyan(&mut script, 6, 1.0);
    assert_eq!((record.accepted, record.aggregated, record.byzantine), (7, true, None));
}

#[test]
fn when_everybody_sends_what_must_be_refused_all_are_asked_on() {
    let mut script = Script::opened(SMALL, &["rounds=9"]);
    for round in 1..=5 {
        script.said.clear();
        (0..DEVICES).for_each(|device| script.delivers(&update(device, round, f32::NAN, SMALL)));
        let record = script.close();
        assert_eq!((record.selected, record.aggregated), (3, false));
    }
}

#[test]
fn a_quorum_goes_on_without_the_absent_and_fewer_than_that_keep_the_model() {
    let settings = [&BULYAN[..], &["aggregation.round-quorum=5"]].concat();
    let mut script = Script::new(SMALL, &settings);
    (0..7).for_each(|device| script.arrives(device));
    for (round, deliver, aggregated, byzantine) in [(1, 5, true, Some(0)), (2, 4, false, None)] {
        script.said.clear();
        (0..deliver).for_each(|device| script.delivers(&small(device, round)));
        let record = script.close();
        assert_eq!((record.aggregated, record.byzantine), (aggregated, byzantine), "{record:?}");
    }
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
