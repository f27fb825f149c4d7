//! An attack: go the other way.

use candle_core::{DType, Tensor};
use robust::State;
use scenario::attacks::{Attack, AttackError, Needs, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Compromised devices go as far as they would honestly, times a factor, the other way; with inertia, as far as they would
/// have in earlier rounds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Opposite {
    /// How many times as far.
    pub scale: f64,
    /// The share of earlier rounds, at least 0 and below 1.
    pub inertia: f64,
}

impl Default for Opposite {
    fn default() -> Self {
        Opposite { scale: 1.0, inertia: 0.0 }
    }
}

impl Attack for Opposite {
    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn craft(&self, view: &View<'_>, state: &mut State) -> Result<Option<Tensor>, AttackError> {
        let origin = view.origin()?;
        let mean = view.rows(view.colluders)?.to_dtype(DType::F64)?.mean_keepdim(0)?;
        let mut step = (mean - &origin)?;
        if let Some(last) = state.get("step") {
            let last = Tensor::new(last, origin.device())?.to_dtype(DType::F64)?.unsqueeze(0)?;
            step = ((step * (1.0 - self.inertia))? + (last * self.inertia)?)?;
        }
        state.set("step", step.to_dtype(DType::F32)?.squeeze(0)?.to_vec1()?);
        let crafted = (origin - (step * self.scale)?)?;
        Ok(Some(crafted.to_dtype(DType::F32)?.repeat((view.colluders.len(), 1))?))
    }
}
