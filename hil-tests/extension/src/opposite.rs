//! An attack: go as far the other way.

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::attacks::{Attack, AttackError, Needs, View};
use shared::rules::State;

/// Compromised devices send what lies as far on the other side of the global model as their mean, times a factor.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Opposite {
    /// How many times as far.
    pub scale: f64,
}

impl Default for Opposite {
    fn default() -> Self {
        Opposite { scale: 1.0 }
    }
}

impl Attack for Opposite {
    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let origin = view.origin()?;
        let mean = view.rows(view.colluders)?.to_dtype(DType::F64)?.mean_keepdim(0)?;
        let crafted = (&origin - ((mean - &origin)? * self.scale)?)?;
        Ok(Some(crafted.to_dtype(DType::F32)?.repeat((view.colluders.len(), 1))?))
    }
}
