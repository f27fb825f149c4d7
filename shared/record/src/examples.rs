//! A small run for the tests of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use learning::evaluation::ClassErrors;
use learning::parameters::{Layout, Parameters};
use scenario::Scenario;
use scenario::attack_record::{AttackRecord, Crafted};
use scenario::attacks::Models;
use wire::identity::{DeviceId, RunId};
use wire::{Refusal, Telemetry, Throttling};

use super::metrics;
use super::{
    Arm, DeviceRecord, Devices, FORMAT, Manifest, RefusedDevice, RoundRecord, State, Summary, TensorShape,
};

/// Three rounds of ten devices, with `settings` on top.
pub(super) fn scenario(settings: &[&str]) -> Scenario {
    let text = "name = \"example\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n\
                [fleet]\ndevices = 10\ncompromised = 2\n";
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Scenario::parse("example.toml", text, &settings).unwrap()
}

pub(super) fn parameters(value: f32) -> Parameters {
    let layout = Layout::new([("weight", vec![2, 3]), ("bias", vec![2])]);
    Parameters::new(Arc::new(layout), vec![value; 8]).unwrap()
}

pub(super) fn manifest() -> Manifest {
    manifest_of(&scenario(&[]))
}

pub(super) fn manifest_of(scenario: &Scenario) -> Manifest {
    Manifest {
        format: FORMAT,
        run: RunId(0xfedc_ba98_7654_3210),
        scenario_sha256: scenario.digest().to_string(),
        rounds: scenario.rounds,
        seed: 1,
        bench: "software".into(),
        created_unix: 1_800_000_000,
        versions: BTreeMap::from([("outpost".into(), "0.1.0".into())]),
        extensions: BTreeMap::new(),
        shards_sha256: None,
        data: BTreeMap::from([("mnist test".into(), "ab".repeat(32))]),
        layout: TensorShape::list(parameters(0.0).layout()),
    }
}

pub(super) fn record(round: u32) -> RoundRecord {
    RoundRecord {
        round,
        selected: 10,
        accepted: 7,
        absent: vec![DeviceId(4)],
        refused: BTreeMap::from([(Refusal::Late, 1), (Refusal::NonFinite, 1)]),
        refused_devices: vec![
            RefusedDevice { device: Some(DeviceId(2)), reason: Refusal::Late },
            RefusedDevice { device: None, reason: Refusal::NonFinite },
        ],
        removed: vec![DeviceId(5), DeviceId(8)],
        used: vec![DeviceId(3)],
        aggregated: true,
        train_loss: Some(0.1),
        test_error: Some(0.25),
        test_loss: Some(0.5),
        classes: [(1, 4), (0, 0), (3, 12)].map(ClassErrors::from).to_vec(),
        confusion: vec![vec![3, 0, 1], vec![0, 0, 0], vec![2, 0, 9]],
        bytes_up: 7000,
        bytes_down: 10000,
        seconds: 0.5,
        attack: Some(shortened_attack()),
        devices: vec![hot_device(), DeviceRecord::new(DeviceId(6), 900, 250_000, &Telemetry::default())],
        ..RoundRecord::default()
    }
}

/// A round in which every update counted, and nobody told anything.
pub(super) fn calm(round: u32) -> RoundRecord {
    RoundRecord {
        absent: Vec::new(),
        refused: BTreeMap::new(),
        refused_devices: Vec::new(),
        removed: Vec::new(),
        devices: Vec::new(),
        attack: None,
        accepted: 10,
        ..record(round)
    }
}

/// Of two colluders, one had nothing in time.
pub(super) fn shortened_attack() -> AttackRecord {
    let from = |colluders| Models { colluders, benign: 0 };
    AttackRecord {
        meant: from(2),
        crafted: vec![Crafted { leader: DeviceId(3), from: from(1), gave_up: false }],
        fell_back: vec![DeviceId(7)],
        silent: Vec::new(),
    }
}

/// A device that tells everything.
pub(super) fn hot_device() -> DeviceRecord {
    let telemetry = Telemetry {
        rss_kib: Some(6400),
        temperature: Some(853),
        throttled: Some(Throttling(0x5_0004)),
        clock: Some(1500),
        energy: Some(2_750_000),
    };
    DeviceRecord::new(DeviceId(1), 1000, 1_250_000, &telemetry)
}

pub(super) fn summary(name: &str) -> Summary {
    Summary {
        name: name.into(),
        seed: 1,
        bench: "software".into(),
        rounds: 3,
        aggregated_rounds: 3,
        least_updates: 7,
        mean_updates: 8.5,
        final_test_error: Some(0.25),
        best_test_error: Some(0.125),
        model_sha256: "0f".repeat(32),
        seconds: 1.5,
        rounds_per_second: 2.0,
        bytes_up: 21_000,
        bytes_down: 30_000,
        devices: 10,
        refused: BTreeMap::from([(Refusal::Late, 3), (Refusal::NonFinite, 3)]),
        metrics: BTreeMap::from([("absent".into(), 3.0), ("removed".into(), 6.0)]),
        ..Summary::default()
    }
}

pub(super) fn arm(label: &str, records: Vec<RoundRecord>) -> Arm {
    let mut computed = BTreeMap::new();
    records.iter().for_each(|record| metrics::enter(&mut computed, record));
    Arm {
        label: label.into(),
        state: State::Finished,
        rounds: 3,
        summary: Summary { metrics: computed, ..summary(label) },
        manifest: manifest(),
        records,
        scenario: scenario(&[]),
        devices: Devices::default(),
    }
}
