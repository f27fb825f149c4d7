//! An open round.

use super::*;

#[test]
fn the_round_closes_with_the_last_update() {
    let mut script = Script::opened(SMALL, &[]);
    for device in [2, 0, 1] {
        assert_eq!(script.jobs().len(), 0);
        script.delivers(&update(device, 1, device as f32, SMALL));
        assert_eq!(script.receipts(device), [None]);
    }
    let jobs = script.jobs();
    let [Job::Aggregate { round: 1, updates, .. }] = &jobs[..] else { panic!("{jobs:?}") };
    let firsts: Vec<_> = updates.iter().map(|update| update[0]).collect();
    assert_eq!(firsts, [0.0, 1.0, 2.0], "in order of device, not of arrival");
    script.computes(Ok(vec![1.5; SMALL]));
    assert_eq!(script.record().unwrap().accepted, 3);
    assert_eq!(script.machine.global()[..], [1.5; SMALL]);
    assert_eq!(script.called().unwrap().round, 2);
}

#[test]
fn an_accepted_update_is_handed_over_at_once_and_a_refused_one_never() {
    let mut script = Script::opened(SMALL, &[]);
    let handed_over = |script: &Script| -> Vec<(u32, f32)> {
        let taken = script.said.iter().filter_map(|action| match action {
            Action::Take { round, update } => Some((*round, update[0])),
            _ => None,
        });
        taken.collect()
    };
    script.delivers(&update(2, 1, 2.0, SMALL));
    assert_eq!(handed_over(&script), [(1, 2.0)]);
    script.delivers(&update(1, 1, f32::NAN, SMALL));
    assert_eq!(handed_over(&script), [(1, 2.0)], "nothing more");
}

#[test]
fn a_backend_that_fails_ends_the_run_and_leaves_the_round_to_be_done_again() {
    let mut script = Script::opened(SMALL, &[]);
    (0..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
    script.handle(Event::Done(Outcome::BackendFailed { round: 1, what: "the GPU is gone".to_owned() }));
    assert!(script.record().is_none());
    let Some(Err(failure)) = script.ending() else { panic!("{:?}", script.ending()) };
    assert_eq!(failure.to_string(), "round 1: the GPU is gone; run it again to go on from the round before");
}

#[test]
fn the_deadline_closes_the_round_and_names_the_absent() {
    let mut script = Script::opened(SMALL, &[]);
    script.delivers(&small(1, 1));
    script.wait_until(59_999);
    assert_eq!(script.jobs().len(), 0);
    let record = script.close();
    assert_eq!((record.accepted, record.absent), (1, vec![DeviceId(0), DeviceId(2)]));
}

#[test]
fn a_round_without_any_update_keeps_the_model_and_the_run_goes_on() {
    let mut script = Script::opened(SMALL, &[]);
    let record = script.close();
    assert_eq!((record.accepted, record.aggregated), (0, false));
    assert_eq!(script.machine.global()[..], [0.0; SMALL]);
    assert_eq!(script.called().unwrap().round, 2);
}

#[test]
fn an_aggregate_that_is_not_finite_keeps_the_model() {
    for aggregate in [Ok(vec![f32::NAN; SMALL]), Err("the rule failed".to_owned())] {
        let mut script = Script::opened(SMALL, &[]);
        (0..DEVICES).for_each(|device| script.delivers(&small(device, 1)));
        script.computes(aggregate);
        assert!(!script.record().unwrap().aggregated);
        assert_eq!(script.machine.global()[..], [0.0; SMALL]);
    }
}

#[test]
fn the_silent_are_told_of_the_round_again() {
    let mut script = Script::opened(SMALL, &[]);
    script.delivers(&small(0, 1));
    script.wait_until(7_500);
    assert_eq!(script.stages(Topic::Inbox(DeviceId(0))), []);
    assert!(
        matches!(&script.stages(Topic::Inbox(DeviceId(1)))[..], [RunStage::Round(call)] if call.round == 1)
    );
}

#[test]
fn what_is_missing_of_a_stalled_update_is_asked_for() {
    let mut script = Script::opened(LARGE, &[]);
    let update = update(0, 1, 1.0, LARGE);
    script.delivers_piece(update.chunk(1).unwrap());
    script.wait_until(1_999);
    assert_eq!(script.asked(0), []);
    script.wait_until(2_000);
    assert_eq!(script.asked(0), [Missing { id: update.id(), chunks: vec![0, 2] }]);
}

#[test]
fn a_repeated_piece_does_not_call_for_the_rest_while_that_is_on_its_way() {
    let mut script = Script::opened(LARGE, &[]);
    let update = update(0, 1, 1.0, LARGE);
    (0..9).for_each(|_| script.delivers_piece(update.chunk(0).unwrap()));
    assert_eq!(script.asked(0), []);
}

#[test]
fn nothing_is_asked_for_once_the_verdict_is_there() {
    let mut script = Script::opened(LARGE, &[]);
    let (one, other) = (update(0, 1, 1.0, LARGE), update(0, 1, 2.0, LARGE));
    script.delivers_piece(one.chunk(0).unwrap());
    script.delivers(&other);
    script.wait_until(30_000);
    assert_eq!(script.asked(0), []);
}

fn ask(script: &mut Script, chunks: Vec<u32>) {
    let call = script.called().unwrap();
    let (round, blake3) = (call.round, call.model.blake3);
    let id = wire::TransferId { run: RUN, round, kind: Kind::Model, device: None, blake3 };
    script.receive(Topic::Ask(DeviceId(0)), &Message::Missing(Missing { id, chunks }));
}

fn opened_with_its_call() -> Script {
    let mut script = Script::new(LARGE, &[]);
    (0..DEVICES).for_each(|device| script.arrives(device));
    script
}

#[test]
fn a_device_gets_the_pieces_of_the_model_that_it_lacks() {
    let mut script = opened_with_its_call();
    ask(&mut script, vec![2, 0, 9]);
    assert_eq!(script.pieces(0), [0, 2]);
    script.wait_until(2_000);
    ask(&mut script, vec![]);
    assert_eq!(script.pieces(0), [0, 2, 0, 1, 2]);
}

#[test]
fn a_device_that_asks_without_end_gets_the_model_once_a_second() {
    let mut script = opened_with_its_call();
    for _ in 0..100 {
        ask(&mut script, vec![]);
        script.wait_until(script.now.0 + 10);
    }
    assert_eq!(script.pieces(0).len(), 3);
}

#[test]
fn the_run_ends_when_all_have_left_or_time_is_up() {
    for leave in [true, false] {
        let mut script = Script::resumed(SMALL, &[], 2);
        (0..DEVICES).for_each(|device| script.arrives(device));
        (0..DEVICES).for_each(|device| script.delivers(&small(device, 3)));
        script.computes(Ok(vec![1.0; SMALL]));
        assert_eq!(script.stages(Topic::Round).last(), Some(&RunStage::Finished));
        assert_eq!(script.ending(), None);
        if leave {
            (0..DEVICES).for_each(|device| script.leaves(device));
        } else {
            script.wait_until(5_000);
        }
        assert_eq!(script.ending(), Some(&Ok(())));
        assert_eq!(script.machine.wake_at(), None);
    }
}
