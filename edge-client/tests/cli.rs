//! The command line of `edge-client`, as a user meets it.

use std::process::{Command, Output};

fn edge_client(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge-client"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"OUTPOST_"))
    {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

#[track_caller]
fn assert_usage_error(arguments: &[&str], part: &str) {
    let output = edge_client(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(part), "no `{part}` in: {stderr}");
}

#[test]
fn help_explains_every_setting_and_the_exit_codes() {
    let output = edge_client(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for part in
        ["--device", "--scenario", "--shard", "--broker", "--patience", "OUTPOST_DEVICE", "Exit codes"]
    {
        assert!(help.contains(part), "no `{part}` in:\n{help}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = edge_client(&["--version"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("edge-client {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_is_named_and_ends_with_code_2() {
    assert_usage_error(&["--devise", "device-001"], "--devise");
    assert_usage_error(&["--device", "device-1"], "`device-` and at least three digits");
    assert_usage_error(&["--broker", "localhost"], "expected mqtt://HOST");
    assert_usage_error(&[], "no device: give --device, set OUTPOST_DEVICE");
    assert_usage_error(
        &["--device", "device-001", "--scenario", "nowhere.toml", "--shard", "x"],
        "nowhere.toml",
    );
}

#[test]
fn an_unknown_key_of_the_configuration_file_is_named_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client.toml");
    std::fs::write(&path, "devise = \"device-001\"\n").unwrap();
    let path = path.to_str().unwrap();
    assert_usage_error(&["--config", path], path);
    assert_usage_error(&["--config", path], "devise");
}
