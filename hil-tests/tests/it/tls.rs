//! Runs over mutual TLS, and who is refused.

use std::fs;
use std::process::Command;

use hil_tests::faults::Surroundings;
use link::TlsFiles;
use link::skipped;
use wire::identity::DeviceId;

use crate::certificates::{Authority, Validity};
use crate::lab::{ATTACK, Lab, NATIVE, all_succeed, inventory};
use crate::process::{Process, assert_has, hil, run, summary};
use crate::secured::{Grants, Secured, equip};

fn nobody() -> Grants {
    Grants { colluders: Vec::new(), full_knowledge: false }
}

/// Every device with its own certificate; the run must end where software ends.
fn agrees_with_software(settings: &[&str], full_knowledge: bool) {
    let lab = Lab::new(settings);
    let colluders: Vec<_> = lab.scenario.attackers().into_iter().collect();
    assert_eq!(colluders.len(), 2);
    let grants = Grants { colluders, full_knowledge };
    let Some(broker) = Secured::start(&grants, Validity::Always) else { return };
    let start = |name: &str, command: Command| {
        Process::start(equip(command, &broker.address(), &broker.authority.issue(name)))
    };
    let aggregator = start("aggregator", lab.aggregator_without_broker("run"));
    let clients: Vec<_> = (0..lab.scenario.fleet.devices)
        .map(|device| start(&DeviceId(device).to_string(), lab.client_without_broker(device)))
        .collect();
    aggregator.outcome().succeeded();
    all_succeed(clients);
    let summary = summary(&lab.path("run"));
    assert_eq!(summary.model_sha256, lab.undisturbed());
    assert!(summary.refused.is_empty(), "{:?}", summary.refused);
    assert_eq!(summary.attack, None, "no bench tells of it, and no device is asked");
}

#[test]
fn colluders_with_partial_knowledge_do_with_their_grants_what_they_do_in_software() {
    agrees_with_software(&ATTACK, false);
}

#[test]
fn colluders_with_full_knowledge_do_with_their_grants_what_they_do_in_software() {
    agrees_with_software(&[ATTACK[0], "attack.knowledge=full"], true);
}

/// As on a board without a battery that is switched on before it has asked for the time.
#[test]
fn a_client_whose_clock_lies_before_the_certificates_says_so_and_joins_when_it_is_right() {
    let lab = Lab::new(&[]);
    let file = lab.path("clock");
    fs::write(&file, "-30y\n").unwrap();
    let Ok(clock) = Surroundings::adjustable_clock(&file) else {
        skipped("faketime", "it is not installed");
        return;
    };
    let Some(broker) = Secured::start(&nobody(), Validity::Since2020) else { return };
    let equipped = |name: &str, command| equip(command, &broker.address(), &broker.authority.issue(name));
    let client = |device: u32| equipped(&DeviceId(device).to_string(), lab.client_without_broker(device));
    let aggregator = Process::start(equipped("aggregator", lab.aggregator_without_broker("run")));
    let clients: Vec<_> =
        (1..lab.scenario.fleet.devices).map(|device| Process::start(client(device))).collect();
    let mut early = Process::start(clock.around(client(0)));
    early.wait_for_words(
        "the broker's certificate is not valid yet, or this device's clock is wrong: it says 19",
    );
    early.wait_for_words("trying again in");
    assert!(!early.stderr().contains("connected to"), "{}", early.stderr());
    fs::write(&file, "+0\n").unwrap();
    early.wait_for_words("connected to");
    aggregator.outcome().succeeded();
    all_succeed(clients.into_iter().chain([early]));
    let summary = summary(&lab.path("run"));
    assert_eq!(summary.model_sha256, lab.undisturbed());
    assert!(summary.refused.is_empty(), "{:?}", summary.refused);
}

/// The last words of a client that shows `files` at `address`, and gives up.
#[track_caller]
fn refused(address: &str, files: &TlsFiles, parts: &[&str]) {
    let lab = Lab::new(&[]);
    let mut client = equip(lab.client_without_broker(0), address, files);
    client.args(["--patience", "2"]);
    let parts = [&["edge-client: no connection to the broker mqtts://"], parts].concat();
    run(client).ended_with(1).ends_by_saying(&parts);
}

#[test]
fn who_shows_no_certificate_or_one_of_another_authority_is_refused_and_told_why() {
    let Some(broker) = Secured::start(&nobody(), Validity::Always) else { return };
    let folder = tempfile::tempdir().unwrap();
    let stranger = Authority::new(folder.path(), "stranger").issue("device-000");
    let own = broker.authority.issue("device-000");

    let without = TlsFiles { ca: own.ca.clone(), ..TlsFiles::default() };
    refused(&broker.address(), &without, &["--cert and --key"]);
    let of_another = TlsFiles { ca: own.ca.clone(), ..stranger.clone() };
    refused(&broker.address(), &of_another, &["certificate"]);
    let of_another_for_the_broker = TlsFiles { ca: stranger.ca, ..own.clone() };
    refused(&broker.address(), &of_another_for_the_broker, &["not signed by the CA of --ca"]);
    let elsewhere = format!("mqtts://localhost:{}", broker.mosquitto.address().port);
    refused(&elsewhere, &own, &["not for localhost but for", "127.0.0.1"]);
}

#[test]
fn certificates_out_of_their_time_are_refused_with_a_hint_at_the_clock() {
    for (validity, words) in [(Validity::Past, "has expired"), (Validity::Future, "is not valid yet")] {
        let Some(broker) = Secured::start(&nobody(), validity) else { return };
        let own = broker.authority.issue("device-000");
        refused(&broker.address(), &own, &["the broker's certificate", words, "clock is wrong: it says 2"]);
    }
    let Some(broker) = Secured::start(&nobody(), Validity::Always) else { return };
    let expired = broker.authority.issue_for("device-000", Validity::Past);
    refused(&broker.address(), &expired, &["certificate"]);
}

#[test]
fn fleet_status_says_what_is_wrong_with_a_certificate_where_the_broker_answers() {
    let lab =
        Lab::new(&["fleet.devices=1", "fleet.selected=1", "fleet.compromised=0", "aggregation.rule=mean"]);
    let (file, fleet) = (lab.path("fleet.toml"), lab.path("fleet"));
    let shelf = |url: &str| {
        let text = inventory("shelf", &format!("url = \"{url}\""), [NATIVE.to_owned()]);
        fs::write(&file, text).unwrap();
    };
    shelf("mqtts://127.0.0.1:8883");
    run(lab.provision(&file, &fleet, &[])).succeeded();
    let asked = |broker: &Secured, files: &TlsFiles| {
        let pairs = [("ca.pem", &files.ca), ("operator.pem", &files.cert), ("operator.key", &files.key)];
        for (name, file) in pairs {
            fs::copy(file.as_ref().unwrap(), fleet.join("operator").join(name)).unwrap();
        }
        shelf(&broker.address());
        let outcome = run(hil!["fleet", "status", &file, &fleet, "--log", "error"]).ended_with(1);
        assert!(!outcome.stderr.contains("does not answer"), "{}", outcome.stderr);
        outcome.stderr
    };
    let Some(broker) = Secured::start(&nobody(), Validity::Past) else { return };
    let expired = asked(&broker, &broker.authority.issue("operator"));
    assert_has(&expired, &["the broker's certificate has expired"]);
    let Some(broker) = Secured::start(&nobody(), Validity::Always) else { return };
    let stranger = Authority::new(&lab.path("."), "stranger").issue("operator");
    let other = asked(&broker, &stranger);
    assert!(other.contains("the broker's certificate is of another authority"), "{other}");
    let own = broker.authority.issue_for("operator", Validity::Past);
    let of_mine = asked(&broker, &own);
    assert!(of_mine.contains("certificate"), "{of_mine}");
}

#[test]
fn a_device_with_the_certificate_of_another_is_heard_by_nobody_and_says_so() {
    let Some(broker) = Secured::start(&nobody(), Validity::Always) else { return };
    let lab = Lab::new(&[]);
    let other = broker.authority.issue("device-002");
    let mut client = Process::start(equip(lab.client_without_broker(1), &broker.address(), &other));
    client.wait_for_words("passes it on to nobody");
    assert!(client.stderr().contains("outpost/devices/device-001/status"), "{}", client.stderr());
}
