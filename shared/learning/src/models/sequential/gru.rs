//! The gated recurrent unit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::linear::linear;
use super::fitted::{Fault, Fitted, Start, Weights, require};
use super::recurrence::recurrence;
use super::shape::Shape;

/// A gated recurrent unit (Cho et al. 2014), which reads a series step by step. Its tensors are those of `PyTorch`'s `nn.GRU`:
/// `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and `bias_hh_l0`, for the gates reset, update and new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gru {
    /// Values of its state.
    pub units: u32,
    /// Whether the states of all steps come out, as a series, and not only the last, as values.
    #[serde(default)]
    pub sequence: bool,
    /// What its tensors are called; by default `gru1`, `gru2` and so on, by its place among such layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Gru {
    pub(super) fn new(units: u32) -> Self {
        Gru { units, sequence: false, name: None }
    }

    pub(super) fn fit(&self, input: Shape) -> Result<Fitted, Fault> {
        let [steps, features] = input.series()?;
        require(self.units >= 1, || "has units = 0; its state must have at least one value".to_owned())?;
        let (units, sequence) = (self.units as usize, self.sequence);
        // Of three such, the size need not fit where addresses have 32 bits.
        let gates = units.saturating_mul(3);
        let start = Start::Uniform(1.0 / (units as f32).sqrt());
        let weights = vec![
            Weights::new("weight_ih_l0", [gates, features], start),
            Weights::new("weight_hh_l0", [gates, units], start),
            Weights::new("bias_ih_l0", [gates], start),
            Weights::new("bias_hh_l0", [gates], start),
        ];
        let output = if sequence { Shape::Series { steps, features: units } } else { Shape::Values(units) };
        let fitted = Fitted::new(output, move |parameters, piece| {
            let examples = piece.dim(0)?;
            let inputs = piece.reshape((examples * steps, features))?;
            let gates =
                linear(&inputs, &parameters[0], &parameters[2])?.reshape((examples, steps, 3 * units))?;
            let states = recurrence(&gates, &parameters[1], &parameters[3])?;
            if sequence { Ok(states) } else { states.narrow(1, steps - 1, 1)?.squeeze(1) }
        });
        let (steps, units, gates) = (steps as u64, units as u64, gates as u64);
        let each_step = gates.saturating_mul((features as u64).saturating_add(units));
        let multiply_adds = steps.saturating_mul(each_step);
        let kept = steps.saturating_mul(gates.saturating_add(units));
        Ok(Fitted { multiply_adds, kept, ..fitted.with_weights(weights) })
    }
}
