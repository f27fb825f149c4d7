//! Two processes with the name of one device: the elder stays, the other says why it leaves.

use crate::lab::{Lab, assert_undisturbed_so_far};
use crate::process::{Process, run, wait_for_rounds};

#[test]
fn a_second_client_of_a_device_leaves_with_an_error_and_disturbs_nothing() {
    let lab = Lab::new(&["rounds=100000"]);
    let aggregator = Process::start(lab.aggregator("run"));
    let _clients = lab.clients(0..5);
    let out = lab.path("run");
    wait_for_rounds(&out, 5);
    let mut twin = lab.client(1);
    twin.args(["--log", "error"]);
    run(twin).complains(1, &["another running client has the name device-001", "--device"]);
    assert_undisturbed_so_far(aggregator, &out);
}
