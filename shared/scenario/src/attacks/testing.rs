//! What the tests of attacks share.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use robust::State;
use wire::identity::DeviceId;

use super::{AttackError, Conditions};
use crate::Scenario;
use crate::tensor_executor::OnProcessors;

/// A scenario of 100 devices with these settings.
pub(super) fn scenario(settings: &[&str]) -> Scenario {
    let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Scenario::parse("t.toml", text, &settings).unwrap()
}

/// What attacks on examples of `shape` in ten classes are checked under.
pub(super) fn conditions(shape: &[usize]) -> Conditions<'_> {
    Conditions { shape, classes: 10, compromised: 20, selected: 100, byzantine: 20 }
}

/// What the attack of `scenario` makes of `models`, the `colluders` of whose rows are of compromised devices; what these
/// trained, if they are to send that.
pub(super) fn crafted(
    scenario: &Scenario,
    global: &[f32],
    models: &[Vec<f32>],
    colluders: &[usize],
) -> Result<Vec<Vec<f32>>, AttackError> {
    let devices = (0..models.len() as u32).map(DeviceId).collect();
    let attackers: BTreeSet<_> = colluders.iter().map(|row| DeviceId(*row as u32)).collect();
    let crafting = scenario.crafting(1, devices, &attackers).expect("models enough");
    let drawn = Tensor::from_vec(crafting.draw(global.len()), (colluders.len(), global.len()), &Device::Cpu)?;
    let matrix = Tensor::new(models.to_vec(), &Device::Cpu)?;
    let global = Tensor::new(global, &Device::Cpu)?;
    Ok(match crafting.craft(&drawn, &matrix, &global, &OnProcessors, &mut State::default())? {
        Some(crafted) => crafted.to_vec2()?,
        None => colluders.iter().map(|row| models[*row].clone()).collect(),
    })
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
