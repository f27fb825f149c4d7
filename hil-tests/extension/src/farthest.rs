//! A stage before the rule: turn the farthest updates away.

use robust::{Byzantine, State};
use scenario::defense::{DefenseError, Gate, Passed, Stage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Removes the updates of the devices whose distances to all others, summed up over the rounds, are largest.
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
    fn leaves(&self, devices: usize, _: Byzantine) -> usize {
        devices.saturating_sub(self.remove as usize)
    }

    fn pass(&self, gate: &Gate<'_>, state: &mut State) -> Result<Passed, DefenseError> {
        let mut sums = Vec::new();
        for (row, device) in gate.devices.iter().enumerate() {
            let name = format!("sum of {device}");
            let so_far = state.get(&name).map_or(0.0, |kept| kept[0]);
            let sum = so_far + gate.updates.sum_to_nearest(row, gate.devices.len())? as f32;
            state.set(name, vec![sum]);
            sums.push((sum, row));
        }
        sums.sort_by(|a, b| b.0.total_cmp(&a.0));
        let farthest = sums.into_iter().take(self.remove as usize);
        Ok(Passed::AllBut(farthest.map(|(_, row)| row).collect()))
    }
}
