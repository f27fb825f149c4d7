//! Restarts of the aggregator, and other runs.

use wire::RollCall;

use super::*;

fn delivered() -> Script {
    let mut script = Script::benign(SMALL);
    script.opens(3);
    script.trains(3, 5.0);
    script.acknowledges();
    script
}

fn restart(script: &mut Script) {
    script.term += 1;
    script.announce(RunStage::Gathering(RollCall { call: 1 }));
}

#[test]
fn an_acknowledged_update_is_sent_again_when_the_aggregator_was_restarted() {
    let mut script = delivered();
    restart(&mut script);
    script.opens(3);
    assert_eq!(script.updates(), [5.0, 5.0]);
    script.acknowledges();
    script.opens(3);
    assert_eq!(script.updates().len(), 2, "once for each start");
}

#[test]
fn a_restarted_aggregator_may_go_back_to_an_earlier_round() {
    let mut script = delivered();
    restart(&mut script);
    script.opens(2);
    assert_eq!(script.trainings(), [3, 2]);
    script.trains(2, 4.0);
    assert_eq!(script.updates(), [5.0, 4.0]);
    script.opens(3);
    assert_eq!(script.trainings(), [3, 2, 3]);
}

#[test]
fn a_restarted_aggregator_may_select_others() {
    let mut script = Script::benign(SMALL);
    script.opens_for(3, &[DeviceId(0)]);
    restart(&mut script);
    script.opens_for(3, &[DeviceId(0), DeviceId(1)]);
    assert_eq!(script.trainings(), [3]);
    script.trains(3, 5.0);
    restart(&mut script);
    script.said.clear();
    script.opens_for(3, &[DeviceId(0)]);
    script.wait_until(60_000);
    assert_eq!(script.updates().len(), 0, "not selected any more");
}

#[test]
fn words_of_an_earlier_start_are_ignored() {
    let mut script = delivered();
    restart(&mut script);
    script.term -= 1;
    script.opens(4);
    script.announce(RunStage::Finished);
    assert_eq!((script.trainings(), script.farewell()), (vec![3], None));
}

#[test]
fn the_roll_call_is_answered() {
    let mut script = Script::benign(SMALL);
    script.said.clear();
    script.announce(RunStage::Gathering(RollCall { call: 1 }));
    let said = script.messages(Topic::Status(DeviceId(1)));
    assert!(matches!(&said[..], [Message::Status(status)] if status.online), "{said:?}");
}

#[test]
fn a_new_run_starts_afresh() {
    let mut script = delivered();
    script.term = 0;
    let call = RoundCall { round: 1, ..script.call(3, &[DeviceId(1)]) };
    let announcement = script.announcement(RunId(8), RunStage::Round(call));
    script.receive(Topic::Round, &announcement);
    assert_eq!(script.asked().len(), 0);
    script.wait_until(1_000);
    assert_eq!(script.asked().len(), 1, "the model of the other run is none of this one's");
}

#[test]
fn the_end_of_the_run_is_the_end() {
    let mut script = delivered();
    script.announce(RunStage::Finished);
    assert_eq!(script.farewell(), Some(&Farewell::Finished));
    let said = script.messages(Topic::Status(DeviceId(1)));
    assert!(matches!(said.last(), Some(Message::Status(status)) if !status.online), "{said:?}");
}

#[test]
fn the_end_of_an_unknown_run_that_lies_at_the_broker_is_ignored() {
    let mut script = Script::benign(SMALL);
    script.term = 9;
    let end = script.announcement(RunId(1), RunStage::Finished);
    script.receive_as(Topic::Round, &end, true);
    assert_eq!(script.farewell(), None);
    script.term = 1;
    script.opens(1);
    assert_eq!(script.trainings(), [1]);
}

#[test]
fn the_end_of_another_run_changes_nothing_in_this_one() {
    for retained in [true, false] {
        let mut script = delivered();
        let term = std::mem::replace(&mut script.term, 0);
        let end = script.announcement(RunId(1), RunStage::Finished);
        script.receive_as(Topic::Round, &end, retained);
        script.term = term;
        script.opens(3);
        assert_eq!(script.farewell(), None);
        assert_eq!(script.updates(), [5.0], "nobody was restarted");
    }
}

#[test]
fn another_scenario_or_protocol_is_ignored() {
    let mut script = Script::benign(SMALL);
    let call = script.call(1, &[DeviceId(1)]);
    let Message::Announcement(own) = script.announcement(RUN, RunStage::Round(call)) else { unreachable!() };
    let other = Announcement { scenario: Digest::of(b"another"), ..own.clone() };
    script.receive(Topic::Round, &Message::Announcement(other));
    let newer = Announcement { protocol: PROTOCOL_VERSION + 1, ..own };
    script.receive(Topic::Round, &Message::Announcement(newer));
    script.wait_until(60_000);
    assert_eq!(script.asked().len() + script.jobs().len(), 0);
}

#[test]
fn the_last_round_there_can_be_is_no_trouble() {
    let mut script = Script::compromised(0, &[]);
    script.opens(u32::MAX);
    let chunk = script.shared_model(Kind::BeforeAttack, 1, script.attackers[1], 1.0);
    script.colludes(&chunk);
    assert_eq!(script.trainings(), [u32::MAX]);
}

#[test]
fn a_device_knows_what_it_would_leave_unfinished() {
    let mut script = Script::benign(SMALL);
    assert_eq!(script.agent.unfinished(), None);
    script.opens(1);
    assert!(script.agent.unfinished().unwrap().ends_with("in round 1, whose update is not delivered"));
    script.trains(1, 5.0);
    script.acknowledges();
    assert!(script.agent.unfinished().unwrap().ends_with("after its part in round 1"));
}
