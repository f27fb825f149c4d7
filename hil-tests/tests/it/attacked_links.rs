//! Attacks on the link by real clients: what honest devices send counts, and the record counts what the others send.

use record::RoundRecord;
use wire::Refusal;
use wire::identity::DeviceId;

use crate::lab::{Lab, records};
use crate::process::{run, summary};

/// Seven devices, two of them compromised, with models of 31 KB.
fn lab(settings: &[&str]) -> Lab {
    const FLEET: [&str; 6] = [
        "dataset=mnist",
        "data.train-examples=700",
        "fleet.devices=7",
        "fleet.compromised=2",
        "aggregation.rule=median",
        "timing.round-seconds=3",
    ];
    Lab::new(&[&FLEET[..], settings].concat())
}

/// What a run on processes records, in which no honest device is absent or refused.
fn recorded(lab: &Lab) -> (Vec<RoundRecord>, Vec<DeviceId>) {
    run(lab.hil("processes", "processes", &[])).succeeded();
    let records = records(&lab.path("processes"));
    let attackers: Vec<_> = lab.scenario.attackers().into_iter().collect();
    for record in &records {
        let misdeeds = record.refused_devices.iter().map(|refused| refused.device);
        let named: Vec<_> = misdeeds.chain(record.muted.iter().map(|muted| muted.device)).flatten().collect();
        let is_attacker = |device: &DeviceId| attackers.contains(device);
        assert!(named.iter().chain(&record.absent).all(is_attacker), "{record:?}");
        assert!(record.aggregated && record.accepted >= 5, "{record:?}");
    }
    (records, attackers)
}

/// In the same model as in software.
#[track_caller]
fn assert_as_in_software(lab: &Lab) {
    assert_eq!(summary(&lab.path("processes")).model_sha256, lab.undisturbed());
}

#[test]
fn a_client_that_floods_is_muted_and_its_messages_are_counted() {
    let (records, attackers) = recorded(&lab(&["attack.kind=flood", "attack.messages=5000", "rounds=20"]));
    let muted = records.iter().flat_map(|record| &record.muted);
    let dropped: u64 = muted.clone().map(|muted| muted.messages).sum();
    assert!(dropped > 0, "{records:?}");
    assert!(attackers.iter().all(|device| muted.clone().any(|muted| muted.device == Some(*device))));
    assert_eq!(records[0].accepted, 7, "what they sent before they flooded counts");
}

#[test]
fn a_client_that_sends_too_late_or_under_an_old_number_is_refused_as_late() {
    let attacks = [
        (&["attack.kind=delay", "attack.share=1.1", "rounds=3"][..], [0, 2, 2]),
        (&["attack.kind=replay", "attack.as=old", "rounds=3"], [0, 2, 2]),
    ];
    for (attack, late) in attacks {
        let lab = lab(attack);
        let (records, _) = recorded(&lab);
        let counted = records.iter().map(|record| record.refused.get(&Refusal::Late).copied().unwrap_or(0));
        let mut counted: Vec<_> = counted.collect();
        // What is late in the last round may still come while its model is tested.
        counted[2] = counted[2].min(late[2]);
        assert_eq!(counted, late, "{attack:?}: {records:?}");
        assert_as_in_software(&lab);
    }
}

#[test]
fn a_client_whose_transfer_never_ends_is_waited_for_to_the_deadline_and_not_longer() {
    let lab = lab(&["attack.kind=slow-loris", "attack.restart-seconds=1", "rounds=2"]);
    let (records, attackers) = recorded(&lab);
    for record in &records {
        assert_eq!(record.absent, attackers);
        assert!((3.0..6.0).contains(&record.seconds), "{}", record.seconds);
    }
    assert_as_in_software(&lab);
}
