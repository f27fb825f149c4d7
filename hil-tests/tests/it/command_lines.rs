//! The command lines of the fleet's programs, as a user meets them.

use std::fs;

use crate::process::{Outcome, program, run};

const CLIENT: &str = "edge-client";
const AGGREGATOR: &str = "aggregator-node";

fn called(name: &str, arguments: &[&str]) -> Outcome {
    let mut command = program(name);
    command.args(arguments);
    run(command)
}

#[track_caller]
fn assert_usage_error(name: &str, arguments: &[&str], part: &str) {
    let Outcome { code, stderr, .. } = called(name, arguments);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains(part), "no `{part}` in: {stderr}");
}

#[test]
fn help_explains_every_setting_and_the_exit_codes() {
    let of_client = ["--device", "--scenario", "--shard", "--broker", "--patience", "OUTPOST_DEVICE"];
    let of_aggregator = ["SCENARIO", "--out", "--set", "--broker", "--listen", "OUTPOST_LISTEN"];
    for (name, parts) in [(CLIENT, of_client), (AGGREGATOR, of_aggregator)] {
        let help = called(name, &["--help"]).succeeded().stdout;
        for part in parts.into_iter().chain(["Exit codes"]) {
            assert!(help.contains(part), "no `{part}` in:\n{help}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    for name in [CLIENT, AGGREGATOR] {
        let said = called(name, &["--version"]).succeeded().stdout;
        assert_eq!(said, format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn wrong_usage_of_the_client_is_named_and_ends_with_code_2() {
    assert_usage_error(CLIENT, &["--devise", "device-001"], "--devise");
    assert_usage_error(CLIENT, &["--device", "device-1"], "`device-` and at least three digits");
    assert_usage_error(CLIENT, &["--broker", "localhost"], "expected mqtt://HOST");
    assert_usage_error(CLIENT, &[], "no device: give --device, set OUTPOST_DEVICE");
    let nowhere = ["--device", "device-001", "--scenario", "nowhere.toml", "--shard", "x"];
    assert_usage_error(CLIENT, &nowhere, "nowhere.toml");
}

#[test]
fn an_unknown_key_of_the_configuration_file_is_named_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client.toml");
    fs::write(&path, "devise = \"device-001\"\n").unwrap();
    let path = path.to_str().unwrap();
    assert_usage_error(CLIENT, &["--config", path], &format!("{path}:1: unknown field `devise`"));
}

#[test]
fn wrong_usage_of_the_aggregator_is_named_and_ends_with_code_2() {
    assert_usage_error(AGGREGATOR, &["scenario.toml"], "--out");
    assert_usage_error(AGGREGATOR, &["nowhere.toml", "--out", "x"], "nowhere.toml");
    assert_usage_error(AGGREGATOR, &["s.toml", "--out", "x", "--listen", "here"], "--listen");
    let prefix = ["s.toml", "--out", "x", "--topic-prefix", "Lab"];
    assert_usage_error(AGGREGATOR, &prefix, "topic prefix `Lab`");
    let both = ["s.toml", "--out", "x", "--listen", "127.0.0.1:0", "--broker", "mqtt://localhost"];
    assert_usage_error(AGGREGATOR, &both, "cannot be used with");
}

#[test]
fn a_gpu_that_is_not_there_is_one_line_that_says_what_to_do() {
    let parts = ["--device cuda:4000: ", "or use --device cpu"];
    called(AGGREGATOR, &["no-such.toml", "--out", "out", "--device", "cuda:4000"]).complains(2, &parts);
    assert_usage_error(AGGREGATOR, &["s.toml", "--out", "out", "--device", "gpu"], "give cpu, cuda:N");
}

#[test]
fn a_scenario_that_contradicts_itself_is_named_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("s.toml"), folder.path().join("run"));
    let text = "name = \"s\"\ndataset = \"mnist\"\nmodel = \"dnn\"\nrounds = 0\n";
    fs::write(&path, text).unwrap();
    let arguments = [path.to_str().unwrap(), "--out", out.to_str().unwrap()];
    assert_usage_error(AGGREGATOR, &arguments, "rounds: must be at least 1");
    assert!(!out.exists(), "a run that cannot begin leaves nothing");
}
