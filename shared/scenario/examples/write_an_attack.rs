//! Writes an attack, gives it a name in a catalogue, and crafts what two of five devices send.
//!
//! ```sh
//! cargo run -p scenario --example write_an_attack
//! ```

#![allow(clippy::print_stdout, reason = "printing is all that it does")]

use candle_core::{DType, Device, Tensor};
use robust::State;
use scenario::attacks::{Attack, AttackError, Needs, View};
use scenario::catalogue::Catalogue;
use scenario::tensor_executor::OnProcessors;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::identity::DeviceId;

/// Compromised devices send the mean of what they trained, moved back beyond the global model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Backwards {
    /// How far, as a multiple of what they moved.
    scale: f64,
}

impl Default for Backwards {
    fn default() -> Self {
        Backwards { scale: 2.0 }
    }
}

impl Attack for Backwards {
    // The other hooks are honest unless they are written, too.
    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let origin = view.origin()?;
        let moved = (view.rows(view.colluders)?.to_dtype(DType::F64)?.mean_keepdim(0)? - &origin)?;
        let crafted = (&origin - (moved * self.scale)?)?.to_dtype(DType::F32)?;
        Ok(Some(crafted.repeat((view.colluders.len(), 1))?))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut catalogue = Catalogue::standard();
    catalogue.attacks.add::<Backwards>("backwards");
    let scenario = catalogue.parse(
        "example.toml",
        r#"
            name = "example"
            dataset = "mnist"
            model = "logistic-regression"
            rounds = 1
            [fleet]
            devices = 5
            compromised = 2
            [attack]
            kind = "backwards"
            scale = 3.0
        "#,
        &[],
    )?;

    let devices: Vec<DeviceId> = scenario.devices().collect();
    let crafting = scenario.crafting(1, devices, &scenario.attackers()).ok_or("nobody attacks")?;
    let global = Tensor::new(&[0.0_f32, 0.0], &Device::Cpu)?;
    let trained = Tensor::new(&[[1.0_f32, 2.0]; 5], &Device::Cpu)?;
    let drawn = Tensor::from_vec(crafting.draw(2), (2, 2), &Device::Cpu)?;
    let crafted = crafting
        .craft(&drawn, &trained, &global, &OnProcessors, &mut State::default())?
        .ok_or("it gave up")?;
    println!("{:?} send {:?}", scenario.attackers(), crafted.to_vec2::<f32>()?);
    Ok(())
}
