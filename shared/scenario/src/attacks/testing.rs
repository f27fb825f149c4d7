//! What the tests of attacks share.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use robust::State;
use wire::identity::DeviceId;

use super::AttackError;
use crate::Scenario;
use crate::tensor_executor::OnProcessors;

/// A scenario of 100 devices with these settings.
pub(super) fn scenario(settings: &[&str]) -> Scenario {
    let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Scenario::parse("t.toml", text, &settings).unwrap()
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
