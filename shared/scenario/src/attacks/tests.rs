//! Attacks that craft send what `docs/conformance/attacks` says that they are to send.

use candle_core::{Device, Tensor};
use robust::State;
use serde::Deserialize;
use wire::identity::DeviceId;

use super::{Attacked, Crafting};
use crate::catalogue::Catalogue;
use crate::registry::Entry;
use crate::tensor_executor::OnProcessors;
use crate::testing::{Case, assert_conforms};

#[derive(Deserialize)]
struct OneRound {
    global: Vec<f32>,
    colluders: Vec<Vec<f32>>,
    benign: Vec<Vec<f32>>,
    /// What is drawn for each compromised device.
    draws: Option<Vec<Vec<f64>>>,
    /// What is drawn for the first of them alone.
    signs: Option<Vec<f64>>,
    /// The direction that `mimic` begins with.
    z: Option<Vec<f32>>,
    expected: Vec<Vec<f64>>,
}

/// Attacks on data, in training, on the link; by noise alone; those that search for what harms most; and the user's own.
const WITHOUT_VECTORS: [&str; 17] = [
    "gaussian",
    "label-flip",
    "back-gradient",
    "tailored",
    "noise",
    "copy",
    "random",
    "trigger",
    "split-trigger",
    "edge-case",
    "alternating",
    "delay",
    "drop",
    "flood",
    "slow-loris",
    "replay",
    "program",
];

#[test]
fn every_attack_sends_what_its_definition_does() {
    let catalogue = Catalogue::standard();
    let known = catalogue.attacks.entries().map(Entry::name).filter(|name| !WITHOUT_VECTORS.contains(name));
    assert_conforms("attacks", known, off);
}

/// How a case is missed, if it is.
fn off(name: &str, case: &Case<OneRound>) -> Option<String> {
    let attack = Catalogue::standard().attacks.choose(name, case.settings.clone(), &|_| {}).unwrap();
    let rule = Catalogue::standard().rules.choose("mean", toml::Table::new(), &|_| {}).unwrap();
    let mut state = State::default();
    for (number, round) in (1..).zip(&case.rounds) {
        let models = [round.colluders.as_slice(), round.benign.as_slice()].concat();
        let (devices, d) = (models.len(), round.global.len());
        let attacked =
            Attacked { seed: 1, rule: &*rule, selected: devices, byzantine: round.colluders.len() };
        let devices: Vec<DeviceId> = (0..devices as u32).map(DeviceId).collect();
        let attackers = devices[..round.colluders.len()].iter().copied().collect();
        let Some(crafting) = Crafting::of(&*attack, attacked, number, devices, &attackers) else {
            // There is nobody of whom more could be known.
            return round.benign.first().map(|_| "crafts nothing".to_owned());
        };
        let mut drawn = vec![0.0; round.colluders.len() * d];
        let given = round.draws.iter().flatten().chain(&round.signs).flatten();
        drawn.iter_mut().zip(given).for_each(|(drawn, given)| *drawn = *given);
        if let Some(z) = &round.z {
            state.set("direction", z.as_slice());
        }
        let drawn = Tensor::from_vec(drawn, (round.colluders.len(), d), &Device::Cpu).unwrap();
        let matrix = Tensor::new(models, &Device::Cpu).unwrap();
        let global = Tensor::new(round.global.as_slice(), &Device::Cpu).unwrap();
        let crafted = crafting.craft(&drawn, &matrix, &global, &OnProcessors, &mut state).unwrap();
        let sent: Vec<Vec<f32>> =
            crafted.map_or(round.colluders.clone(), |crafted| crafted.to_vec2().unwrap());
        // What docs/conformance says that 32 bits can be held to.
        let values = matrix.flatten_all().and_then(|values| values.to_vec1::<f32>()).unwrap();
        let values = values.into_iter().map(f64::from).chain(round.expected.iter().flatten().copied());
        let bound = 2e-6 * values.fold(1e-3, |most: f64, value| most.max(value.abs()));
        let pairs = sent.iter().flatten().zip(round.expected.iter().flatten());
        let off = pairs.map(|(sent, expected)| (f64::from(*sent) - expected).abs()).fold(0.0, f64::max);
        if off > bound {
            return Some(format!("round {number} is off by {off:e}, more than {bound:e}"));
        }
    }
    None
}
