//! A stage before the rule: turn the farthest updates away.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::defense::{DefenseError, Gate, Stage};
use shared::rules::{Byzantine, State};

/// Removes the updates whose distances to all others are largest in sum.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Farthest {
    /// How many updates are removed in a round.
    pub remove: u32,
}

impl Default for Farthest {
    fn default() -> Self {
        Farthest { remove: 1 }
    }
}

impl Stage for Farthest {
    fn removes_at_most(&self, _: Byzantine) -> usize {
        self.remove as usize
    }

    fn remove(&self, gate: &Gate<'_>, _: &mut State) -> Result<BTreeSet<usize>, DefenseError> {
        let devices = gate.updates.devices();
        let sum = |row| Ok((gate.updates.sum_to_nearest(row, devices)?, row));
        let mut sums = (0..devices).map(sum).collect::<Result<Vec<_>, DefenseError>>()?;
        sums.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(sums.into_iter().take(self.remove as usize).map(|(_, row)| row).collect())
    }
}
