//! Lost receipts, and an aggregator that was started again.

use super::*;

#[test]
fn a_lost_receipt_is_given_again() {
    let mut script = Script::opened(SMALL, &[]);
    let update = small(0, 1);
    script.delivers(&update);
    script.delivers(&update);
    assert_eq!(script.receipts(0), [None], "within a second it is on its way");
    script.wait_until(1_000);
    script.delivers(&update);
    assert_eq!(script.receipts(0), [None, None]);
    assert_eq!(script.close().refused.len(), 0);
}

#[test]
fn a_lost_receipt_is_given_again_after_the_round() {
    let mut script = Script::opened(SMALL, &[]);
    let update = small(0, 1);
    script.delivers(&update);
    script.wait_until(60_000);
    script.delivers(&update);
    script.computes(Ok(vec![1.0; SMALL]));
    script.wait_until(61_000);
    script.delivers(&update);
    assert_eq!(script.receipts(0), [None, None, None]);
    let next = script.close();
    assert_eq!((next.refused.len(), next.absent.len()), (0, 3), "accepted is not late, nor of this round");
}

#[test]
fn a_resumed_run_goes_on_with_the_next_round() {
    let mut script = Script::resumed(SMALL, &[], 2);
    (0..DEVICES).for_each(|device| script.arrives(device));
    assert_eq!(script.called().unwrap().round, 3);
    script.close();
    assert_eq!(script.stages(Topic::Round).last(), Some(&RunStage::Finished));
}

#[test]
fn updates_for_the_round_that_was_cut_short_are_no_fault_of_their_devices() {
    let mut script = Script::resumed(SMALL, &[], 1);
    let update = small(0, 2);
    script.delivers(&update);
    assert_eq!(script.receipts(0), []);
    (0..DEVICES).for_each(|device| script.arrives(device));
    script.delivers(&update);
    assert_eq!(script.receipts(0), [None]);
    assert_eq!(script.close().refused.len(), 0);
}

#[test]
fn updates_for_the_last_round_of_an_earlier_process_are_no_fault_of_their_devices() {
    let mut script = Script::resumed(SMALL, &[], 2);
    let update = small(0, 2);
    script.delivers(&update);
    (0..DEVICES).for_each(|device| script.arrives(device));
    script.delivers(&update);
    assert_eq!(script.receipts(0), []);
    script.delivers(&small(1, 1));
    assert_eq!(script.receipts(1), [Some(Refusal::Late)]);
    assert_eq!(script.close().refused, [(Refusal::Late, 1)].into());
}
