//! What the tests of attacks share.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use robust::State;
use wire::identity::DeviceId;

use super::{AttackError, Conditions};
use crate::tensor_executor::OnProcessors;
use crate::{Scenario, ScenarioError};

/// A scenario of 100 devices with these settings.
pub(crate) fn scenario(settings: &[&str]) -> Scenario {
    parse(settings).unwrap()
}

/// Why these settings are refused.
pub(super) fn refused(settings: &[&str]) -> String {
    parse(settings).unwrap_err().to_string()
}

fn parse(settings: &[&str]) -> Result<Scenario, ScenarioError> {
    let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Scenario::parse("t.toml", text, &settings)
}

/// What attacks on examples of `shape` in ten classes are checked under.
pub(super) fn conditions(shape: &[usize]) -> Conditions<'_> {
    Conditions { shape, classes: 10, devices: 100, compromised: 20, selected: 100, byzantine: 20 }
}

/// What the attack of `scenario` makes of `models`, the `colluders` of whose rows are of compromised devices; what these
/// trained, if they are to send that.
pub(crate) fn crafted(
    scenario: &Scenario,
    global: &[f32],
    models: &[Vec<f32>],
    colluders: &[usize],
) -> Result<Vec<Vec<f32>>, AttackError> {
    let devices: Vec<_> = (0..models.len() as u32).collect();
    crafted_with(&mut State::default(), scenario, &devices, global, models, colluders)
}

/// The same of `models` of these `devices`, in ascending order, where the attack has kept `state`.
pub(super) fn crafted_with(
    state: &mut State,
    scenario: &Scenario,
    devices: &[u32],
    global: &[f32],
    models: &[Vec<f32>],
    colluders: &[usize],
) -> Result<Vec<Vec<f32>>, AttackError> {
    let attackers: BTreeSet<_> = colluders.iter().map(|row| DeviceId(devices[*row])).collect();
    let devices = devices.iter().copied().map(DeviceId).collect();
    let crafting = scenario.crafting(1, devices, &attackers).expect("models enough");
    let drawn = Tensor::from_vec(crafting.draw(global.len()), (colluders.len(), global.len()), &Device::Cpu)?;
    let matrix = Tensor::new(models.to_vec(), &Device::Cpu)?;
    let global = Tensor::new(global, &Device::Cpu)?;
    Ok(match crafting.craft(&drawn, &matrix, &global, &OnProcessors, state)? {
        Some(crafted) => crafted.to_vec2()?,
        None => colluders.iter().map(|row| models[*row].clone()).collect(),
    })
}

/// The Euclidean distance between two models.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

/// The mean of `known` models, shifted `factor` times in a direction by its name: the definition, value by
/// value.
pub(super) fn perturbed(known: &[Vec<f32>], global: &[f32], direction: &str, factor: f64) -> Vec<f32> {
    let count = known.len() as f64;
    let column = |j: usize| known.iter().map(move |model| f64::from(model[j]));
    let means: Vec<f64> = (0..global.len()).map(|j| column(j).sum::<f64>() / count).collect();
    let update = |j: usize| means[j] - f64::from(global[j]);
    let length = (0..global.len()).map(|j| update(j).powi(2)).sum::<f64>().sqrt();
    let step = |j: usize| match direction {
        "deviation" => -(column(j).map(|value| (value - means[j]).powi(2)).sum::<f64>() / count).sqrt(),
        "unit" => -update(j) / length,
        _ => -update(j).signum(),
    };
    (0..global.len()).map(|j| (means[j] + factor * step(j)) as f32).collect()
}

/// Rounds in which the attack of a scenario crafts, one after the other, from the first on.
pub(super) struct Rounds {
    scenario: Scenario,
    pub(super) round: u32,
    pub(super) state: State,
}

impl Rounds {
    pub(super) fn of(scenario: Scenario) -> Self {
        Rounds { scenario, round: 0, state: State::default() }
    }

    /// What is crafted in the next round, if anything is.
    pub(super) fn craft(
        &mut self,
        global: &[f32],
        models: &[Vec<f32>],
        colluders: &[usize],
    ) -> Option<Vec<Vec<f32>>> {
        self.round += 1;
        let devices = (0..models.len() as u32).map(DeviceId).collect();
        let attackers: BTreeSet<_> = colluders.iter().map(|row| DeviceId(*row as u32)).collect();
        let crafting = self.scenario.crafting(self.round, devices, &attackers).expect("models enough");
        let drawn = crafting.draw(global.len());
        let drawn = Tensor::from_vec(drawn, (colluders.len(), global.len()), &Device::Cpu).unwrap();
        let matrix = Tensor::new(models.to_vec(), &Device::Cpu).unwrap();
        let global = Tensor::new(global, &Device::Cpu).unwrap();
        let crafted = crafting.craft(&drawn, &matrix, &global, &OnProcessors, &mut self.state).unwrap();
        crafted.map(|crafted| crafted.to_vec2().unwrap())
    }
}
