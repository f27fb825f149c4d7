//! Devices that are not there, and an aggregator that is not.

use wire::RollCall;

use super::*;

impl Script {
    /// `device` has this status lying at the broker.
    fn lies(&mut self, status: &Status) {
        let payload = Message::Status(status.clone()).encode().unwrap();
        self.arrive(Topic::Status(status.device), payload, true);
    }

    /// A round in which `devices` deliver and the others do not.
    fn round_of(&mut self, round: u32, devices: &[u32]) -> RoundRecord {
        devices.iter().for_each(|device| self.delivers(&small(*device, round)));
        self.said.retain(|action| !matches!(action, Action::Record { .. }));
        self.close()
    }
}

#[test]
fn what_lies_at_the_broker_is_no_presence_and_nobodys_misdeed() {
    let mut script = Script::new(SMALL, &[]);
    for device in 0..DEVICES + 3 {
        script.lies(&script.status(device));
        script.lies(&Status { scenario: Digest::of(b"another"), ..script.status(device) });
        script.lies(&Status { protocol: 1, online: false, ..script.status(device) });
    }
    script.arrive(Topic::Status(DeviceId(0)), &b"\xff"[..], true);
    let update = Message::Chunk(small(0, 7).chunk(0).unwrap()).encode().unwrap();
    script.arrive(Topic::Update(DeviceId(0)), update, true);
    assert_eq!(script.called(), None);
    (0..2).for_each(|device| script.arrives(device));
    script.wait_until(60_000);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(0), DeviceId(1)]);
    let record = script.round_of(1, &[0, 1]);
    assert_eq!((record.refused.len(), record.refused_devices.len()), (0, 0));
}

#[test]
fn a_farewell_that_lies_at_the_broker_is_believed_of_one_that_was_here() {
    let mut script = Script::opened(SMALL, &[]);
    script.lies(&Status { online: false, ..script.status(1) });
    script.round_of(1, &[0, 1, 2]);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(0), DeviceId(2)]);
}

#[test]
fn a_device_that_is_absent_three_times_is_not_selected_until_it_is_heard() {
    let mut script = Script::opened(SMALL, &["rounds=9"]);
    for round in 1..=3 {
        assert_eq!(script.round_of(round, &[0, 1]).absent, [DeviceId(2)]);
    }
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(0), DeviceId(1)]);
    script.lies(&script.status(2));
    assert_eq!(script.round_of(4, &[0, 1]).selected, 2);
    assert_eq!(
        script.called().unwrap().selected.len(),
        2,
        "what lies at the broker is as old as its absence"
    );
    script.arrives(2);
    script.round_of(5, &[0, 1]);
    assert_eq!(script.called().unwrap().selected.len(), 3);
    assert_eq!(script.round_of(6, &[0, 1]).absent, [DeviceId(2)]);
    assert_eq!(script.called().unwrap().selected.len(), 2, "it had this one round");
    script.delivers(&small(2, 6));
    script.round_of(7, &[0, 1]);
    assert_eq!(script.called().unwrap().selected.len(), 3, "a late update is a sign of life");
    script.round_of(8, &[0, 1, 2]);
    assert_eq!(script.called().unwrap().selected.len(), 3);
}

#[test]
fn when_all_are_absent_the_roll_is_called_and_who_answers_is_back() {
    let mut script = Script::opened(SMALL, &["rounds=9"]);
    for round in 1..=3 {
        script.said.clear();
        script.round_of(round, &[]);
    }
    assert!(matches!(script.stages(Topic::Round).last(), Some(RunStage::Gathering(_))));
    (0..DEVICES).for_each(|device| script.arrives(device));
    let call = script.called().unwrap();
    assert_eq!((call.round, call.selected.len()), (4, 3));
}

#[test]
fn gathering_begins_with_the_first_connection() {
    let mut script = Script::new(SMALL, &[]);
    script.machine = script.fresh_machine();
    script.said.clear();
    assert_eq!(script.machine.wake_at(), None);
    script.wait_until(300_000);
    script.handle(Event::Connected);
    assert_eq!(script.stages(Topic::Round), [RunStage::Gathering(RollCall { call: 1 })]);
    script.arrives(1);
    script.wait_until(359_999);
    assert_eq!(script.called(), None);
    script.wait_until(360_000);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(1)]);
}

#[test]
fn deadlines_stand_still_while_the_aggregator_is_away() {
    let mut script = Script::opened(SMALL, &[]);
    script.wait_until(50_000);
    script.handle(Event::Disconnected);
    assert_eq!(script.machine.wake_at(), None);
    script.wait_until(500_000);
    script.handle(Event::Tick);
    assert_eq!(script.jobs().len(), 0);
    script.handle(Event::Connected);
    (0..DEVICES).for_each(|device| script.arrives(device));
    script.wait_until(509_999);
    assert_eq!(script.jobs().len(), 0);
    (0..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
    assert_eq!(script.close().absent, [], "who came back meanwhile is not absent");
}

#[test]
fn a_round_in_which_nothing_has_come_waits_until_a_dead_connection_would_be_known() {
    let silent = |heard: bool| {
        let mut script = Script::new(SMALL, &[]);
        script.machine.assume_silence(Millis(32_000));
        (0..DEVICES).for_each(|device| script.arrives(device));
        if heard {
            script.arrives(0);
        }
        script
    };
    let mut script = silent(true);
    script.wait_until(61_000);
    assert_eq!(script.jobs().len(), 1, "somebody was heard: it is closed");

    let mut script = silent(false);
    script.wait_until(91_000);
    assert_eq!(script.jobs().len(), 0);
    script.handle(Event::Disconnected);
    script.now = Millis(120_000);
    script.handle(Event::Connected);
    // As much time as from the beginning: nobody could send.
    script.wait_until(script.now.0 + 59_000);
    (0..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
    assert_eq!(script.close().accepted, DEVICES);

    let mut script = silent(false);
    script.wait_until(93_000);
    assert_eq!(script.jobs().len(), 1, "the connection lives");
}
