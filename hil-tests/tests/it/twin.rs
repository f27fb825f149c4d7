//! Two processes with the name of one device: the elder stays, the other says why it leaves.

use crate::lab::{Lab, all_succeed};
use crate::process::{Process, run, summary, wait_for_rounds};

#[test]
fn a_second_client_of_a_device_leaves_with_an_error_and_disturbs_nothing() {
    let lab = Lab::new(&["rounds=150"]);
    let aggregator = Process::start(lab.aggregator("run"));
    let clients = lab.clients(0..5);
    wait_for_rounds(&lab.path("run"), 5);
    let mut twin = lab.client(1);
    twin.args(["--log", "error"]);
    run(twin).complains(1, &["another running client has the name device-001", "--device"]);
    aggregator.outcome().succeeded();
    all_succeed(clients);
    assert_eq!(summary(&lab.path("run")).model_sha256, lab.undisturbed());
}
