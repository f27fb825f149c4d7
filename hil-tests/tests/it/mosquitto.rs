//! Over Mosquitto, the broker of fleets in the field.

use hil_tests::faults::Mosquitto;
use link::skipped;
use tempfile::TempDir;

use crate::lab::{ATTACK, Lab, all_succeed};
use crate::process::{Process, recorded_rounds, summary, wait_for_rounds};

/// `None`, having said so, where it is not installed.
pub(crate) fn start() -> Option<Mosquitto> {
    start_with(tempfile::tempdir().unwrap(), |port| {
        format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    })
}

/// As [`Mosquitto::start_with`]; `None`, having said so, where it is not installed.
pub(crate) fn start_with(folder: TempDir, config: impl FnOnce(u16) -> String) -> Option<Mosquitto> {
    if Mosquitto::find().is_none() {
        skipped("mosquitto", "it is not installed");
        return None;
    }
    Some(Mosquitto::start_with(folder, config).unwrap())
}

#[test]
fn a_run_over_mosquitto_agrees_with_software() {
    let Some(mosquitto) = start() else { return };
    let lab = Lab::new(&ATTACK);
    let hil = lab.hil("processes", "run", &["--broker", &mosquitto.address().to_string()]);
    assert_eq!(lab.model_after(hil, "run"), lab.undisturbed());
}

#[test]
fn a_run_survives_that_its_broker_is_killed_and_forgets_everything() {
    let Some(mut mosquitto) = start() else { return };
    let lab = Lab::new(&["rounds=60", ATTACK[0]]);
    let out = lab.path("run");
    let hil = Process::start(lab.hil("processes", "run", &["--broker", &mosquitto.address().to_string()]));
    for round in [10, 30] {
        wait_for_rounds(&out, round);
        mosquitto.kill();
        assert!(recorded_rounds(&out) < 60, "killed too late to prove anything");
        mosquitto.start_again().unwrap();
    }
    hil.outcome().succeeded();
    assert_eq!(summary(&out).model_sha256, lab.undisturbed());
}

#[test]
fn an_aggregator_that_is_killed_under_a_broker_that_stays_goes_on() {
    let Some(mosquitto) = start() else { return };
    let lab = Lab::new(&["rounds=40"]);
    let (out, broker) = (lab.path("run"), mosquitto.address().to_string());
    let begin = |command| Lab::begin_at(&broker, command);
    let first = begin(lab.aggregator_without_broker("run"));
    let clients = lab.clients_at(&broker, 0..5);
    wait_for_rounds(&out, 10);
    first.kill();
    assert!(recorded_rounds(&out) < 40, "killed too late to prove anything");
    begin(lab.aggregator_without_broker("run")).outcome().succeeded();
    all_succeed(clients);
    assert_eq!(summary(&out).model_sha256, lab.undisturbed());
}
