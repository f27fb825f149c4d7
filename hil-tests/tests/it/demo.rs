//! The README's first command.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{assert_has, datasets, hil, run, summary};

const ARMS: [(&str, &str); 3] = [
    ("mean, no attack", "mean-no-attack"),
    ("mean, attacked", "mean-attacked"),
    ("trimmed mean, attacked", "trimmed-mean-attacked"),
];

fn demo(bench: &str, out: &Path, settings: &[&str]) -> Command {
    let mut command = hil!["demo", "--on", bench, "--out", out, "--datasets", datasets()];
    command.args(settings.iter().flat_map(|setting| ["--set", setting]));
    command
}

#[track_caller]
fn assert_report_shows_every_arm(out: &Path, stdout: &str) {
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    let labels = ARMS.map(|(label, _)| label);
    assert_has(&report, &labels);
    assert_has(stdout, &labels);
    assert_has(stdout, &["report.html"]);
}

#[test]
fn the_demo_shows_that_the_attack_works_and_that_the_robust_rule_helps() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(demo("software", folder.path(), &["rounds=20"])).succeeded();
    assert_report_shows_every_arm(folder.path(), &outcome.stdout);
    let [calm, attacked, defended] =
        ARMS.map(|(_, arm)| summary(&folder.path().join(arm)).final_test_error.unwrap());
    assert!(attacked > calm + 0.15, "the attack does nothing: {calm} and {attacked}");
    assert!(defended < attacked, "the robust rule does not help: {attacked} and {defended}");
}

#[test]
fn the_demo_ends_in_the_same_models_on_processes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["rounds=4", "fleet.devices=6", "fleet.compromised=2"];
    let models = |bench: &str| {
        let out = folder.path().join(bench);
        let outcome = run(demo(bench, &out, &settings)).succeeded();
        assert_report_shows_every_arm(&out, &outcome.stdout);
        ARMS.map(|(_, arm)| summary(&out.join(arm)).model_sha256)
    };
    assert_eq!(models("processes"), models("software"));
}
