//! The same scenario ends in the same model, wherever it runs and whatever the link does to its messages.

use crate::lab::{ATTACK, Lab};
use crate::process::summary;

const FAULTS: [&str; 8] = ["--loss", "0.05", "--duplicate", "0.1", "--reorder", "0.3", "--delay-ms", "30"];

#[track_caller]
fn assert_processes_agree_with_software(settings: &[&str]) {
    let lab = Lab::new(settings);
    let processes = lab.model_after(lab.hil("processes", "processes", &[]), "processes");
    assert_eq!(processes, lab.undisturbed());
    let [here, there] = ["processes", "undisturbed"].map(|out| summary(&lab.path(out)));
    assert_eq!((here.bench.as_str(), there.bench.as_str()), ("processes", "software"));
    // What the clients append to a file is what software sees.
    assert_eq!(here.attack, there.attack);
    assert!(here.attack.is_none_or(|attack| attack.as_meant == attack.rounds), "{:?}", here.attack);
}

#[test]
fn processes_agree_with_software_without_an_attack() {
    assert_processes_agree_with_software(&[]);
}

#[test]
fn processes_agree_with_software_under_the_trimmed_mean_attack_of_partial_knowledge() {
    assert_processes_agree_with_software(&ATTACK);
}

#[test]
fn processes_agree_with_software_under_the_trimmed_mean_attack_of_full_knowledge() {
    assert_processes_agree_with_software(&[ATTACK[0], "attack.knowledge=full"]);
}

#[test]
fn processes_agree_with_software_under_the_gaussian_attack() {
    assert_processes_agree_with_software(&["attack.kind=gaussian"]);
}

#[test]
fn processes_agree_with_software_under_label_flipping() {
    assert_processes_agree_with_software(&["attack.kind=label-flip"]);
}

#[test]
fn processes_agree_with_software_when_devices_look_for_poison_and_the_aggregator_at_representations() {
    let stages = "defense=[{ kind = \"roni\", trials = 2, test-examples = 30 }, { kind = \"trim\" }, { kind = \"spectral\" }]";
    let settings = [
        "fleet.devices=5",
        "fleet.compromised=1",
        "aggregation.rule=median",
        "attack.kind=label-flip",
        stages,
    ];
    assert_processes_agree_with_software(&settings);
}

#[test]
fn processes_agree_with_software_when_some_devices_are_selected_each_round() {
    let some = ["fleet.devices=8", "fleet.selected=5", "aggregation.trim=1"];
    assert_processes_agree_with_software(&some);
}

#[test]
fn software_agrees_with_itself_and_not_with_another_seed() {
    let lab = Lab::new(&ATTACK);
    let first = lab.undisturbed();
    let again = lab.model_after(lab.hil("software", "again", &[]), "again");
    let other = lab.model_after(lab.hil("software", "other", &["--set", "seed=2"]), "other");
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn attacks_change_the_model() {
    let model = |settings: &[&str]| Lab::new(settings).undisturbed();
    let partial = model(&ATTACK);
    assert_ne!(model(&[]), partial);
    assert_ne!(model(&[ATTACK[0], "attack.knowledge=full"]), partial);
}

#[track_caller]
fn assert_faults_change_nothing(settings: &[&str]) {
    let lab = Lab::new(settings);
    let calm = lab.undisturbed();
    for seed in ["1", "2", "3"] {
        let mut flags = FAULTS.to_vec();
        flags.extend(["--fault-seed", seed]);
        let out = format!("faults-{seed}");
        assert_eq!(lab.model_after(lab.hil("software", &out, &flags), &out), calm, "fault seed {seed}");
        let (faulty, calm) = (summary(&lab.path(&out)), summary(&lab.path("undisturbed")));
        assert!(faulty.bytes_up > calm.bytes_up, "nothing was sent again: the faults did nothing");
    }
}

#[test]
fn loss_duplication_reordering_and_delay_do_not_change_the_model() {
    assert_faults_change_nothing(&[]);
}

#[test]
fn loss_duplication_reordering_and_delay_do_not_change_the_model_under_attack() {
    assert_faults_change_nothing(&ATTACK);
}
