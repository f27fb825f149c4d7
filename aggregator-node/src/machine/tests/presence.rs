//! Who is here, and who only seems to be.

use super::*;

#[test]
fn a_last_will_of_an_earlier_process_does_not_remove_the_present_one() {
    let mut script = Script::new(SMALL, &[]);
    script.arrives(0);
    let restarted = Status { boot: 99, ..script.status(0) };
    script.says(restarted.clone());
    script.leaves(0);
    script.arrives(1);
    script.arrives(2);
    assert_eq!(script.called().expect("all are here").selected.len(), 3);
}

#[test]
fn the_last_will_of_the_present_process_counts() {
    let mut script = Script::new(SMALL, &[]);
    script.arrives(0);
    script.leaves(0);
    script.arrives(1);
    script.arrives(2);
    assert_eq!(script.called(), None);
}

#[test]
fn an_update_keeps_its_weight_when_its_device_has_left() {
    let mut script = Script::opened(SMALL, &[]);
    script.delivers(&small(0, 1));
    script.delivers(&small(1, 1));
    script.leaves(0);
    script.delivers(&small(2, 1));
    let jobs = script.jobs();
    let [Job::Aggregate { weights, .. }] = jobs[..] else { panic!("{jobs:?}") };
    assert_eq!(*weights, [10.0, 11.0, 12.0]);
}

#[test]
fn a_claim_that_no_list_vouches_for_weighs_four_times_the_median_at_most() {
    let mut script = Script::opened(SMALL, &[]);
    for (device, examples) in [(0, 100), (1, 90), (2, 455)] {
        let status = Status { examples, ..script.status(device) };
        script.says(status);
        script.delivers(&small(device, 1));
    }
    let jobs = script.jobs();
    let [Job::Aggregate { weights, .. }] = jobs[..] else { panic!("{jobs:?}") };
    assert_eq!(*weights, [100.0, 90.0, 400.0]);
}

#[test]
fn a_device_that_comes_back_with_another_scenario_is_not_waited_for() {
    let mut script = Script::opened(SMALL, &[]);
    let other = Status { boot: 99, scenario: Digest::of(b"another"), ..script.status(2) };
    script.says(other);
    script.delivers(&small(0, 1));
    script.delivers(&small(1, 1));
    assert_eq!(script.close().absent, [DeviceId(2)]);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(0), DeviceId(1)]);
}

#[test]
fn a_device_that_claims_more_examples_than_there_are_is_not_called() {
    let mut script = Script::new(SMALL, &[]);
    for examples in [0, 456, u32::MAX] {
        let status = Status { examples, ..script.status(0) };
        script.says(status);
    }
    script.arrives(1);
    script.arrives(2);
    script.wait_until(60_000);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(1), DeviceId(2)]);
    assert_eq!(script.close().refused[&Refusal::Malformed], 3);
}
