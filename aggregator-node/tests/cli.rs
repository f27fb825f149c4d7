//! The command line of `aggregator-node`, as a user meets it.

use std::process::{Command, Output};

fn aggregator_node(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aggregator-node"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"OUTPOST_"))
    {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

#[track_caller]
fn assert_usage_error(arguments: &[&str], part: &str) {
    let output = aggregator_node(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(part), "no `{part}` in: {stderr}");
}

#[test]
fn help_explains_every_setting_and_the_exit_codes() {
    let output = aggregator_node(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for part in ["SCENARIO", "--out", "--set", "--broker", "--listen", "OUTPOST_LISTEN", "Exit codes"] {
        assert!(help.contains(part), "no `{part}` in:\n{help}");
    }
}

#[test]
fn a_device_that_is_not_there_is_one_line_that_says_what_to_do() {
    let output = aggregator_node(&["no-such.toml", "--out", "out", "--device", "cuda:4000"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("--device cuda:4000: ") && stderr.contains("or use --device cpu"), "{stderr}");
    assert_usage_error(&["s.toml", "--out", "out", "--device", "gpu"], "give cpu, cuda:N");
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = aggregator_node(&["--version"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("aggregator-node {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_is_named_and_ends_with_code_2() {
    assert_usage_error(&["scenario.toml"], "--out");
    assert_usage_error(&["nowhere.toml", "--out", "x"], "nowhere.toml");
    assert_usage_error(&["s.toml", "--out", "x", "--listen", "here"], "--listen");
    assert_usage_error(&["s.toml", "--out", "x", "--topic-prefix", "Lab"], "topic prefix `Lab`");
    let both = ["s.toml", "--out", "x", "--listen", "127.0.0.1:0", "--broker", "mqtt://localhost"];
    assert_usage_error(&both, "cannot be used with");
}

#[test]
fn a_scenario_that_contradicts_itself_is_named_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("s.toml"), folder.path().join("run"));
    let text = "name = \"s\"\ndataset = \"mnist\"\nmodel = \"dnn\"\nrounds = 0\n";
    std::fs::write(&path, text).unwrap();
    assert_usage_error(
        &[path.to_str().unwrap(), "--out", out.to_str().unwrap()],
        "rounds: must be at least 1",
    );
    assert!(!out.exists(), "a run that cannot begin leaves nothing");
}
