//! Faults of real processes over real MQTT: the hardware cases, on a fleet of processes of this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use hil_tests::benches::processes::Binaries;
use hil_tests::cases::{self, Case, Matrix, Rig, Unfit};
use hil_tests::faults::Surroundings;
use hil_tests::fleet::inventory::Inventory;
use link::skipped;

use crate::lab::{Lab, all_succeed};
use crate::process::{Process, datasets, program, recorded_rounds, summary, wait_for_rounds};

/// `hil-tests/cases`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

fn fleet() -> Inventory {
    let file = "../firmware-configs/fleets/loopback-native.toml";
    Inventory::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The case that is called so.
pub(crate) fn case(name: &str) -> Case {
    Case::load(&folder().join(name).with_extension("toml")).unwrap()
}

/// Runs `case` on `fleet` into `out`, by the programs that were built beside this test.
pub(crate) fn run_case(
    case: &Case,
    fleet: &Inventory,
    ssh_options: Vec<OsString>,
    out: &Path,
) -> anyhow::Result<String> {
    let programs = Path::new(program("hil").get_program()).parent().unwrap().to_owned();
    let rig = Rig { binaries: Binaries::within(&programs).unwrap(), ssh_options };
    cases::run(case, fleet, &rig, &datasets(), out)
}

fn run(name: &str) -> anyhow::Result<String> {
    run_case(&case(name), &fleet(), Vec::new(), tempfile::tempdir().unwrap().path())
}

/// That the case `name` came out well, or that the fleet lacks a program for it: then the test is skipped.
#[track_caller]
pub(crate) fn assert_held(name: &str, outcome: anyhow::Result<String>) {
    let error = match outcome {
        Ok(told) => return println!("{name}: {told}"),
        Err(error) => error,
    };
    let said = error.downcast_ref::<Unfit>().map(ToString::to_string).unwrap_or_default();
    let missing = said.strip_prefix("needs ").and_then(|said| said.strip_suffix(": it is not installed"));
    match missing {
        Some(program) => skipped(program, error),
        None => panic!("{name}: {error:#}"),
    }
}

/// One test for each case of the folder.
macro_rules! tests {
    (always { $($test:ident: $case:literal,)* } nightly { $($late:ident: $late_case:literal,)* }) => {
        $(#[test]
        fn $test() {
            assert_held($case, run($case));
        })*

        $(#[test]
        #[ignore = "nightly: one of the fault matrix"]
        fn $late() {
            assert_held($late_case, run($late_case));
        })*

        const TESTED: &[&str] = &[$($case,)* $($late_case),*];
    };
}

tests! { always {
    nothing_goes_wrong: "calm",
    a_client_is_killed_in_the_middle_of_a_round: "kill",
    a_connection_is_cut: "cut",
    the_broker_is_started_again: "broker-restarted",
    clients_have_wrong_clocks: "wrong-clock",
    devices_tell_what_their_boards_measure: "telemetry",
} nightly {
    a_client_stands_still: "freeze",
    a_client_stands_still_past_the_deadline: "freeze-past-deadline",
    a_link_holds_back_what_goes_up: "stall-up",
    a_link_holds_back_what_goes_down: "stall-down",
    a_connection_turns_silent: "half-open",
    a_connection_turns_silent_on_the_way_up: "half-open-up",
    a_link_is_slow: "throttle",
    a_link_is_too_slow_for_the_deadline: "throttle-past-deadline",
    an_update_is_damaged_on_its_way: "corrupt-up",
    a_model_is_damaged_on_its_way: "corrupt-down",
    the_broker_is_killed: "broker-killed",
    the_aggregator_is_killed: "aggregator-killed",
    a_client_has_a_full_disk: "full-disk",
    a_device_has_two_clients: "twin",
} }

#[test]
fn an_aggregator_whose_clock_is_set_back_goes_on() {
    let Ok(clock) = Surroundings::wrong_clock("-10y") else {
        skipped("faketime", "it is not installed");
        return;
    };
    let lab = Lab::new(&["rounds=40"]);
    let first = Process::start(lab.aggregator("run"));
    let clients = lab.clients(0..5);
    wait_for_rounds(&lab.path("run"), 10);
    let year = |log: &str| {
        log.get(..4).and_then(|year| year.parse::<i32>().ok()).expect("a log begins with the time")
    };
    let present = year(&first.stderr());
    first.kill();
    assert!(recorded_rounds(&lab.path("run")) < 40, "killed too late to prove anything");
    let outcome = Process::start(clock.around(lab.aggregator("run"))).outcome().succeeded();
    assert!(year(&outcome.stderr) < present, "the clock is right: {}", outcome.stderr);
    all_succeed(clients);
    assert_eq!(summary(&lab.path("run")).model_sha256, lab.undisturbed());
}

#[test]
fn what_a_fleet_cannot_do_is_no_success() {
    let error = run("power-cycle").unwrap_err();
    assert_eq!(error.downcast::<Unfit>().unwrap().to_string(), "needs a device with `power`");
}

#[test]
fn no_case_is_forgotten() {
    let cases = Case::load_all(&folder(), Matrix::Full).unwrap();
    let mut known: Vec<&str> =
        TESTED.iter().chain(&["power-cycle", "power-cycle-awaited"]).copied().collect();
    known.sort_unstable();
    assert_eq!(cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), known);
}
