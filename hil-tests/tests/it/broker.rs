//! What programs do at a broker: embedded, with passwords, and with what lies there.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use hil_tests::faults::Mosquitto;
use wire::Refusal;

use crate::lab::{Lab, all_succeed};
use crate::mosquitto::start_with;
use crate::process::{Process, hil, run, summary};

/// `None`, having said so, where Mosquitto's programs are not installed.
fn start(more: &str) -> Option<Mosquitto> {
    if !link::has("mosquitto_pub") {
        return None;
    }
    start_with(tempfile::tempdir().unwrap(), |port| {
        format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n{more}")
    })
}

/// Publishes with Mosquitto's own client.
#[track_caller]
fn publish(port: u16, arguments: &[&str]) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1"]).args(arguments);
    assert!(command.status().unwrap().success());
}

#[test]
fn an_open_embedded_broker_wants_to_be_told_that_the_network_is_trusted() {
    let lab = Lab::new(&[]);
    let mut command = lab.aggregator_without_broker("run");
    command.args(["--listen", "0.0.0.0:0"]);
    let outcome = run(command).ended_with(2);
    outcome.says(&[
        "--listen 0.0.0.0:0",
        "any device and the aggregator as well",
        "--trust-network",
        "--broker",
    ]);
    assert!(!lab.path("run").exists());
    let mut trusted = lab.aggregator_without_broker("run");
    trusted.args(["--listen", "0.0.0.0:0", "--trust-network"]);
    Process::start(trusted).wait_for_words("connected to mqtt://127.0.0.1:");
}

/// Idle connections, and messages that ended the broker which this project had before.
#[test]
fn a_run_on_the_embedded_broker_is_not_disturbed_by_who_else_connects() {
    let lab = Lab::new(&["rounds=30"]);
    let mut aggregator = Process::start(lab.aggregator("run"));
    aggregator.wait_for_words("connected to");
    let address = lab.broker().trim_start_matches("mqtt://").to_owned();
    // One after the other, so that all are accepted.
    let idle: Vec<TcpStream> = (0..1200).filter_map(|_| TcpStream::connect(&address).ok()).collect();
    assert_eq!(idle.len(), 1200);
    if link::has("mosquitto_pub") {
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        for arguments in [["-t", "ü", "-m", "x"], ["-t", "a", "-i", "b/+#$"], ["-t", "a", "-i", "b/+#$"]] {
            let more: &[&str] = if arguments.contains(&"-i") { &["-m", "x"] } else { &[] };
            publish(port, &[&arguments[..], more].concat());
        }
    }
    all_succeed(lab.clients(0..lab.scenario.fleet.devices));
    aggregator.outcome().succeeded();
    assert_eq!(summary(&lab.path("run")).model_sha256, lab.undisturbed());
}

#[test]
fn a_message_beyond_the_limit_that_a_broker_retains_is_counted_as_oversized_and_stops_nobody() {
    let Some(mosquitto) = start("max_queued_messages 100000\n") else { return };
    let lab = Lab::new(&[]);
    let file = lab.path("huge");
    fs::write(&file, vec![0; 5 << 20]).unwrap();
    let topic = "outpost/devices/device-002/update";
    publish(mosquitto.address().port, &["-r", "-t", topic, "-f", file.to_str().unwrap()]);
    let broker = mosquitto.address().to_string();
    let mut aggregator = Lab::begin_at(&broker, lab.aggregator_without_broker("run"));
    aggregator.wait_for_words("connected to");
    // What lay there may be of another run; this one is not.
    publish(mosquitto.address().port, &["-t", topic, "-f", file.to_str().unwrap()]);
    let clients = lab.clients_at(&broker, 0..lab.scenario.fleet.devices);
    aggregator.outcome().succeeded();
    all_succeed(clients);
    let summary = summary(&lab.path("run"));
    assert_eq!(summary.model_sha256, lab.undisturbed());
    assert!(summary.refused.contains_key(&Refusal::Oversized), "{:?}", summary.refused);
}

/// A file that only its owner can read.
fn secret(path: &Path, text: &str) -> String {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_broker_with_passwords_lets_in_who_has_one() {
    if !link::has("mosquitto_passwd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let mut command = Command::new("mosquitto_passwd");
    command.arg("-b").arg("-c").arg(&users).args(["fleet", "open sesame"]);
    assert!(command.status().unwrap().success());
    let Some(mosquitto) = start_with(folder, |port| {
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npersistence false\npassword_file {}\n",
            users.display()
        )
    }) else {
        return;
    };
    let lab = Lab::new(&["rounds=3"]);
    let broker = mosquitto.address().to_string();
    let right = secret(&lab.path("right"), "open sesame\n");
    let wrong = secret(&lab.path("wrong"), "open barley\n");
    let with = |mut command: Command, more: &[&str]| {
        command.args(["--broker", &broker, "--user", "fleet"]).args(more);
        command
    };
    let plain = run(with(lab.client_without_broker(0), &["--password-file", &right])).ended_with(2);
    plain.says(&["--plain-password"]);
    let refused = ["--password-file", &wrong, "--plain-password", "--patience", "2"];
    let refused = run(with(lab.client_without_broker(0), &refused)).ended_with(1);
    refused.ends_by_saying(&["user name or password"]);

    let login = ["--password-file", &right, "--plain-password", "--keep-alive", "5"];
    let mut aggregator = with(lab.aggregator_without_broker("run"), &["--plain-password"]);
    aggregator.env("OUTPOST_PASSWORD", "open sesame");
    let aggregator = Process::start(aggregator);
    let clients: Vec<_> = (0..lab.scenario.fleet.devices)
        .map(|device| Process::start(with(lab.client_without_broker(device), &login)))
        .collect();
    aggregator.outcome().succeeded();
    all_succeed(clients);
    // All processes of a bench, too, by a password in the environment.
    let mut hil = with(lab.hil("processes", "bench", &[]), &["--plain-password"]);
    hil.env("OUTPOST_PASSWORD", "open sesame");
    run(hil).succeeded();
}

#[test]
fn clearing_a_prefix_deletes_what_a_fleet_of_it_left_and_nothing_else() {
    let Some(mosquitto) = start("") else { return };
    let (port, broker) = (mosquitto.address().port, mosquitto.address().to_string());
    for topic in
        ["lab-1/round", "lab-1/devices/device-000/status", "lab-1/x/ü", "lab-1/sub/round", "lab-10/round"]
    {
        publish(port, &["-r", "-t", topic, "-m", "x"]);
    }
    let clear = |prefix: &str| run(hil!["broker", "clear", prefix, "--broker", &broker]).succeeded().stdout;
    assert_eq!(clear("lab-1"), format!("{broker}: 2 retained messages deleted below lab-1\n"));
    assert_eq!(clear("lab-1"), format!("{broker}: 0 retained messages deleted below lab-1\n"));
    assert_eq!(clear("lab-10"), format!("{broker}: 1 retained message deleted below lab-10\n"));
}

#[test]
fn a_run_of_processes_leaves_nothing_at_a_broker_that_was_there_before() {
    let Some(mosquitto) = start("") else { return };
    let (port, broker) = (mosquitto.address().port, mosquitto.address().to_string());
    publish(port, &["-r", "-t", "outpost/round", "-m", "of another fleet"]);
    let lab = Lab::new(&["rounds=3"]);
    run(lab.hil("processes", "run", &["--broker", &broker])).succeeded();
    run(hil!["broker", "clear", "outpost", "--broker", &broker])
        .succeeded()
        .prints(&[": 1 retained message deleted"]);
}
