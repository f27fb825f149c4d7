//! The roll call.

use super::*;

#[test]
fn the_first_round_opens_when_all_are_here() {
    let mut script = Script::new(SMALL, &[]);
    script.arrives(2);
    script.arrives(0);
    assert_eq!(script.called(), None);
    script.arrives(1);
    let call = script.called().unwrap();
    assert_eq!((call.round, call.selected.len()), (1, 3));
    assert_eq!(script.messages(Topic::Model).len(), 1);
}

#[test]
fn the_first_round_opens_with_those_who_are_here_when_time_is_up() {
    let mut script = Script::new(SMALL, &[]);
    script.arrives(2);
    script.wait_until(59_999);
    assert_eq!(script.called(), None);
    script.wait_until(60_000);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(2)]);
}

#[test]
fn nobody_waits_for_devices_that_are_known_not_to_come() {
    let mut script = Script::new(SMALL, &[]);
    script.machine.expect_without(&[DeviceId(1)]);
    script.arrives(2);
    assert_eq!(script.called(), None);
    script.arrives(0);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(0), DeviceId(2)]);
    // One that comes all the same takes part.
    let mut script = Script::new(SMALL, &[]);
    script.machine.expect_without(&[DeviceId(1), DeviceId(1000)]);
    script.arrives(1);
    script.arrives(0);
    assert_eq!(script.called(), None);
    script.arrives(2);
    assert_eq!(script.called().unwrap().selected.len(), 3);
}

#[test]
fn too_few_for_the_rule_end_the_run() {
    let mut script = Script::new(SMALL, &["aggregation.rule=trimmed-mean", "aggregation.trim=1"]);
    script.arrives(0);
    script.arrives(1);
    script.wait_until(60_000);
    let Some(Err(failure)) = script.ending() else { panic!("{:?}", script.ending()) };
    assert!(matches!(failure, Failure::TooFew { online: 2, devices: 3, seconds: 60, .. }), "{failure}");
    assert_eq!(script.machine.wake_at(), None);
}

#[test]
fn the_roll_is_called_from_one_on_until_it_is_answered() {
    let mut script = Script::new(SMALL, &[]);
    script.wait_until(4_000);
    let calls: Vec<_> = script.stages(Topic::Round);
    let expected = [1, 2, 3].map(|call| RunStage::Gathering(wire::RollCall { call }));
    assert_eq!(calls, expected);
}

#[test]
fn a_broker_that_forgot_is_told_again() {
    let mut script = Script::opened(SMALL, &[]);
    script.handle(Event::Connected);
    let subscribed = script.said.iter().filter(|action| matches!(action, Action::Subscribe(_))).count();
    assert_eq!(subscribed, 3);
    assert_eq!(script.called().unwrap().round, 1);
}

#[test]
fn the_roll_is_called_again_when_too_many_have_left() {
    let mut script = Script::opened(SMALL, &[]);
    (0..3).for_each(|device| script.delivers(&small(device, 1)));
    (0..3).for_each(|device| script.leaves(device));
    script.computes(Ok(vec![1.0; SMALL]));
    assert!(matches!(script.stages(Topic::Round)[..], [RunStage::Gathering(_)]));
    (0..3).for_each(|device| script.arrives(device));
    assert_eq!(script.called().unwrap().round, 2);
}

/// The first round is open and 0 and 1 have delivered, when a broker comes back that has written down that all have left.
fn broker_with_old_words() -> Script {
    let mut script = Script::opened(SMALL, &[]);
    (0..2).for_each(|device| script.delivers(&small(device, 1)));
    script.handle(Event::Connected);
    (0..3).for_each(|device| script.leaves(device));
    script.arrives(2);
    script.delivers(&small(2, 1));
    script.said.retain(|action| matches!(action, Action::Compute(_)));
    script.computes(Ok(vec![1.0; SMALL]));
    script
}

#[test]
fn a_round_is_not_opened_without_those_who_are_about_to_come_back() {
    let mut script = broker_with_old_words();
    assert!(matches!(script.stages(Topic::Round)[..], [RunStage::Gathering(_)]));
    script.arrives(1);
    assert_eq!(script.called(), None);
    script.arrives(0);
    let call = script.called().unwrap();
    assert_eq!((call.round, call.selected.len()), (2, 3));
}

#[test]
fn those_who_do_not_come_back_are_not_awaited_for_ever() {
    let mut script = broker_with_old_words();
    script.arrives(1);
    script.wait_until(19_999);
    assert_eq!(script.called(), None);
    script.wait_until(20_000);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(1), DeviceId(2)]);
}

#[test]
fn who_leaves_while_the_connection_holds_is_not_awaited() {
    let mut script = Script::opened(SMALL, &[]);
    (0..3).for_each(|device| script.delivers(&small(device, 1)));
    script.leaves(0);
    script.computes(Ok(vec![1.0; SMALL]));
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(1), DeviceId(2)]);
}

/// Of three that have delivered in the first round, two are told to have left when the second is opened.
fn opened_among_last_wills() -> Script {
    let mut script = Script::opened(SMALL, &[]);
    (0..3).for_each(|device| script.delivers(&small(device, 1)));
    (0..2).for_each(|device| script.leaves(device));
    script.computes(Ok(vec![1.0; SMALL]));
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(2)]);
    script
}

#[test]
fn a_round_that_was_opened_as_the_broker_ended_is_called_anew_with_all() {
    let mut script = opened_among_last_wills();
    script.said.clear();
    script.handle(Event::Connected);
    script.arrives(0);
    assert!(matches!(script.stages(Topic::Round)[..], [RunStage::Gathering(_)]));
    // Of one who heard of the round all the same: not forgotten, and not accepted for another call.
    script.delivers(&small(2, 2));
    script.arrives(1);
    let call = script.called().unwrap();
    assert_eq!((call.round, call.selected.len()), (2, 3));
    (0..3).for_each(|device| script.delivers(&small(device, 2)));
    script.computes(Ok(vec![1.0; SMALL]));
    let record = script.record().unwrap();
    assert_eq!((record.round, record.accepted, record.refused.len()), (2, 3, 0));
}

#[test]
fn a_round_in_which_something_has_come_in_is_not_called_anew() {
    let mut script = Script::opened(SMALL, &["rounds=4"]);
    (0..3).for_each(|device| script.delivers(&small(device, 1)));
    script.leaves(0);
    script.computes(Ok(vec![1.0; SMALL]));
    script.delivers(&small(1, 2));
    script.said.clear();
    script.handle(Event::Connected);
    let call = script.called().unwrap();
    assert_eq!((call.round, &call.selected[..]), (2, &[DeviceId(1), DeviceId(2)][..]));
}

#[test]
fn a_second_connection_before_the_first_round_cuts_no_roll_call_short() {
    let mut script = Script::new(SMALL, &[]);
    script.arrives(0);
    script.handle(Event::Connected);
    script.arrives(1);
    assert_eq!(script.called(), None);
    script.arrives(2);
    assert_eq!(script.called().unwrap().selected.len(), 3);
}

#[test]
fn too_few_for_the_rule_when_the_connection_is_back_are_waited_for() {
    let mut script = Script::opened(SMALL, &["aggregation.rule=trimmed-mean", "aggregation.trim=1"]);
    (0..3).for_each(|device| script.delivers(&small(device, 1)));
    script.leaves(0);
    script.computes(Ok(vec![1.0; SMALL]));
    script.said.clear();
    script.handle(Event::Connected);
    assert!(script.ending().is_none(), "{:?}", script.ending());
    script.arrives(0);
    assert_eq!(script.called().unwrap().selected.len(), 3);
}
