//! Stages give what `docs/conformance/stages` says that they are to give.

use robust::State;
use serde::Deserialize;

use super::testing::{PassedOn, Passing};
use super::{Bucketing, DivideAndConquer, FlDetector, Flame, NormSign};
use crate::catalogue::Catalogue;
use crate::registry::Entry;
use crate::testing::{Case, assert_conforms};

#[derive(Deserialize)]
struct OneRound {
    global: Vec<f32>,
    devices: Vec<usize>,
    models: Vec<Vec<f32>>,
    permutation: Option<Vec<usize>>,
    coordinates: Option<serde_json::Value>,
    references: Option<Vec<Vec<f64>>>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    devices: Vec<Senders>,
    models: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Senders {
    One(usize),
    Some(Vec<usize>),
}

/// Stages that judge updates by examples, or leave them alone; and the user's own.
const WITHOUT_VECTORS: [&str; 7] = ["err", "lfr", "union", "spectral", "roni", "trim", "program"];

#[test]
fn every_stage_gives_what_its_definition_does() {
    let catalogue = Catalogue::standard();
    let known = catalogue.stages.entries().map(Entry::name).filter(|name| !WITHOUT_VECTORS.contains(name));
    assert_conforms("stages", known, off);
}

/// How a case is missed, if it is.
fn off(name: &str, case: &Case<OneRound>) -> Option<String> {
    let mut state = State::default();
    for (number, round) in (1..).zip(&case.rounds) {
        let passing =
            Passing::of(&round.models).from(&round.global).in_round(number).assuming(case.byzantine);
        let passed = passed(name, case, round, &passing, &mut state);
        let senders = |row: &usize| round.devices[*row];
        let mut rows: Vec<(usize, &Vec<f32>)> =
            passed.devices.iter().map(senders).zip(&passed.models).collect();
        rows.sort_by_key(|(device, _)| *device);
        let first = |senders: &Senders| match senders {
            Senders::One(device) => *device,
            Senders::Some(devices) => devices.iter().copied().min().unwrap_or_default(),
        };
        let mut expected: Vec<(usize, &Vec<f64>)> =
            round.expected.devices.iter().map(first).zip(&round.expected.models).collect();
        expected.sort_by_key(|(device, _)| *device);
        let devices =
            |rows: &[(usize, &Vec<f32>)]| rows.iter().map(|(device, _)| *device).collect::<Vec<_>>();
        let wanted: Vec<usize> = expected.iter().map(|(device, _)| *device).collect();
        if devices(&rows) != wanted {
            return Some(format!("round {number} leaves {:?}, not {wanted:?}", devices(&rows)));
        }
        for ((device, row), (_, expected)) in rows.iter().zip(expected) {
            let largest = expected.iter().fold(1e-3, |most: f64, value| most.max(value.abs()));
            let differences = row.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
            let off = differences.fold(0.0, f64::max);
            if off > 1e-5 * largest {
                return Some(format!("round {number}, device {device}: off by {off:e} of {largest:e}"));
            }
        }
    }
    None
}

/// What is left of a round, with what is drawn elsewhere as the case has it.
fn passed(
    name: &str,
    case: &Case<OneRound>,
    round: &OneRound,
    passing: &Passing,
    kept: &mut State,
) -> PassedOn {
    let place = |device: &usize| round.devices.iter().position(|it| it == device).unwrap();
    let table = || toml::Value::Table(case.settings.clone());
    let columns = || round.coordinates.clone().unwrap();
    match name {
        "bucketing" => {
            let stage: Bucketing = table().try_into().unwrap();
            let order: Vec<usize> = round.permutation.as_ref().unwrap().iter().map(place).collect();
            passing.through(|_| Ok(stage.grouped(&order)))
        }
        "dnc" => {
            let stage: DivideAndConquer = table().try_into().unwrap();
            let lists: Vec<Vec<usize>> = serde_json::from_value(columns()).unwrap();
            passing.through(|gate| stage.by_columns(gate, lists.into_iter()))
        }
        "norm-sign" => {
            let stage: NormSign = table().try_into().unwrap();
            let columns: Vec<usize> = serde_json::from_value(columns()).unwrap();
            passing.through(|gate| stage.by_columns(gate, &columns))
        }
        "fldetector" => {
            let stage: FlDetector = table().try_into().unwrap();
            let references = round.references.clone().unwrap_or_default();
            passing.through(|gate| stage.detect(gate, kept, |_| references))
        }
        "flame" => passing.by(&Flame { noise: 0.0 }),
        _ => {
            let stage = Catalogue::standard().stages.choose(name, case.settings.clone(), &|_| {}).unwrap();
            passing.by_keeping(&*stage, kept)
        }
    }
}
