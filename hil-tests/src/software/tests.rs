//! Whatever the link does, a run in which every update arrives in the end is the undisturbed run.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use rand::Rng;
use shared::random::{Purpose, stream};
use shared::scenario::Scenario;

use super::*;
use crate::fleet_data::FleetData;

/// Fault seeds. One that ever fails stays here.
const SEEDS: std::ops::Range<u64> = 0..12;

/// The time for a round leaves room for many repetitions; being virtual, it costs nothing.
const SCENARIO: &str = r#"
name = "faults"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 5
[fleet]
devices = 7
compromised = 3
[aggregation]
rule = "trimmed-mean"
[timing]
gather-seconds = 600
round-seconds = 600
"#;

fn run(settings: &[&str], faults: Faults) -> Summary {
    run_on(&Software { faults, ..Software::default() }, settings)
}

fn run_on(bench: &Software, settings: &[&str]) -> Summary {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    let scenario = Arc::new(Scenario::parse("faults.toml", SCENARIO, &settings).unwrap());
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets");
    let data = FleetData::load(&scenario, &datasets).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let task = Task { scenario, data, datasets, out: folder.path().join("run") };
    let watch = Watch { on_round: &|_| {}, stop: &AtomicBool::new(false) };
    bench.run(&task, &watch).unwrap().expect("nobody stops it")
}

/// Faults of every kind, some of them drawn to be mild.
fn faults(fault_seed: u64) -> Faults {
    let mut random = stream(fault_seed, Purpose::Faults, None, 1);
    Faults {
        loss: random.random_range(0.0..0.2),
        duplicate: random.random_range(0.0..0.3),
        reorder: random.random_range(0.0..0.5),
        delay_ms: random.random_range(0..100),
        fault_seed,
    }
}

fn assert_faults_change_nothing(settings: &[&str]) {
    let undisturbed = run(settings, Faults::default());
    assert!(undisturbed.refused.is_empty(), "{:?}", undisturbed.refused);
    for seed in SEEDS {
        let faults = faults(seed);
        let disturbed = run(settings, faults.clone());
        assert_eq!(disturbed.model_sha256, undisturbed.model_sha256, "{faults:?}");
        assert!(disturbed.refused.is_empty(), "{:?} with {faults:?}", disturbed.refused);
    }
}

#[test]
fn faults_change_nothing_without_an_attack() {
    assert_faults_change_nothing(&["attack.kind=none"]);
}

#[test]
fn faults_change_nothing_when_some_are_selected() {
    assert_faults_change_nothing(&["attack.kind=none", "fleet.selected=4", "aggregation.trim=1"]);
}

#[test]
fn faults_change_nothing_under_an_attack_with_partial_knowledge() {
    assert_faults_change_nothing(&["attack.kind=trimmed-mean"]);
}

#[test]
fn without_a_step_the_model_comes_back_as_it_went() {
    let digest = |steps: &str, rounds: &str| {
        let settings = ["model=dnn", "attack.kind=none", "aggregation.rule=median", steps, rounds];
        run(&settings, Faults::default()).model_sha256
    };
    let once = digest("training.local-steps=0", "rounds=1");
    assert_eq!(digest("training.local-steps=0", "rounds=3"), once);
    assert_ne!(digest("training.local-steps=1", "rounds=1"), once);
}

#[test]
fn an_attack_changes_the_model() {
    let digest = |kind: &str| run(&[&format!("attack.kind={kind}")], Faults::default()).model_sha256;
    assert_ne!(digest("none"), digest("trimmed-mean"));
}
