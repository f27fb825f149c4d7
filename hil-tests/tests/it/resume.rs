//! A run that was killed or interrupted goes on with the same command, and ends in the same model.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use rustix::process::Signal;

use crate::lab::{ATTACK, Lab, all_succeed, records};
use crate::process::{Process, recorded_rounds, run, summary, wait_for_rounds};

/// What a process leaves that is killed while it writes.
fn tear_last_line(out: &Path) {
    let mut file = OpenOptions::new().append(true).open(out.join("rounds.jsonl")).unwrap();
    file.write_all(br#"{"round":11,"selected":5,"acc"#).unwrap();
}

#[track_caller]
fn assert_every_round_is_recorded_once(lab: &Lab, out: &str) {
    let rounds: Vec<u32> = records(&lab.path(out)).iter().map(|record| record.round).collect();
    assert_eq!(rounds, (1..=lab.scenario.rounds).collect::<Vec<_>>());
}

#[track_caller]
fn assert_an_aggregator_survives_being_killed(settings: &[&str]) {
    let lab = Lab::new(settings);
    let out = lab.path("run");
    let mut aggregator = Process::start(lab.aggregator("run"));
    let clients = lab.clients(0..5);
    for round in [10, 25] {
        wait_for_rounds(&out, round);
        aggregator.kill();
        assert!(recorded_rounds(&out) < lab.scenario.rounds as usize, "killed too late to prove anything");
        tear_last_line(&out);
        aggregator = Process::start(lab.aggregator("run"));
    }
    aggregator.outcome().succeeded();
    all_succeed(clients);
    assert_every_round_is_recorded_once(&lab, "run");
    assert_eq!(summary(&out).model_sha256, lab.undisturbed());
}

#[test]
fn an_aggregator_that_is_killed_goes_on_and_ends_in_the_same_model() {
    assert_an_aggregator_survives_being_killed(&["rounds=40"]);
}

#[test]
fn an_aggregator_that_is_killed_under_attack_goes_on_and_ends_in_the_same_model() {
    assert_an_aggregator_survives_being_killed(&["rounds=40", ATTACK[0]]);
}

/// Settings with which devices, optimizer and attack keep something from round to round.
const KEEPING: [&str; 6] = [
    "fleet.selected=4",
    "aggregation.byzantine=1",
    "training.momentum=0.9",
    "training.send=momentum",
    "optimizer.kind=adam",
    "attack.kind=mimic",
];

#[test]
fn an_aggregator_that_is_killed_while_devices_keep_their_momentum_goes_on_and_ends_in_the_same_model() {
    assert_an_aggregator_survives_being_killed(&[&["rounds=40"][..], &KEEPING].concat());
}

#[track_caller]
pub(crate) fn assert_hil_goes_on_after(
    stop: impl Fn(&Process),
    code: Option<i32>,
    bench: &str,
    rounds: u32,
    settings: &[&str],
) {
    let lab = Lab::new(&[&[format!("rounds={rounds}").as_str(), "model=dnn"], settings].concat());
    let (out, command) = (lab.path("run"), || lab.hil(bench, "run", &[]));
    let hil = Process::start_in_terminal(command());
    wait_for_rounds(&out, 5);
    stop(&hil);
    let outcome = hil.outcome();
    assert_eq!(outcome.code, code, "{}", outcome.stderr);
    if code.is_some() {
        outcome.says(&["the same command goes on"]);
        assert!(!outcome.stderr.contains("ended with"), "{}", outcome.stderr);
    }
    assert!(!out.join("summary.json").exists(), "stopped too late to prove anything");
    assert_eq!(lab.model_after(command(), "run"), lab.undisturbed());
    assert_every_round_is_recorded_once(&lab, "run");
}

#[test]
fn an_interrupted_software_run_goes_on() {
    assert_hil_goes_on_after(|hil| hil.signal(Signal::INT), Some(130), "software", 400, &ATTACK);
}

#[test]
fn a_killed_software_run_goes_on() {
    assert_hil_goes_on_after(|hil| hil.signal(Signal::KILL), None, "software", 400, &ATTACK);
}

#[test]
fn a_killed_software_run_whose_devices_keep_their_momentum_goes_on() {
    assert_hil_goes_on_after(|hil| hil.signal(Signal::KILL), None, "software", 400, &KEEPING);
}

#[test]
fn a_killed_run_of_processes_that_keep_their_momentum_goes_on() {
    assert_hil_goes_on_after(|hil| hil.signal(Signal::KILL), None, "processes", 30, &KEEPING);
}

#[test]
fn an_interrupted_run_of_processes_goes_on() {
    assert_hil_goes_on_after(|hil| hil.signal(Signal::INT), Some(130), "processes", 30, &ATTACK);
}

#[test]
fn a_run_of_processes_that_are_all_interrupted_goes_on() {
    assert_hil_goes_on_after(Process::interrupt_all, Some(130), "processes", 30, &ATTACK);
}

#[test]
fn a_finished_run_is_left_as_it_is() {
    let lab = Lab::new(&[]);
    let model = lab.undisturbed();
    let before = records(&lab.path("undisturbed"));
    let outcome = run(lab.hil("software", "undisturbed", &["--format", "json"])).succeeded();
    outcome.says(&["already finished"]);
    outcome.prints(&[&model]);
    assert_eq!(records(&lab.path("undisturbed")), before);
}
