//! A partition: devices that know few labels.

use input::unfit::{Unfit, at_least_one};
use learning::data::{Dataset, Partition, leave_none_empty};
use learning::random::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The examples of each label go to a few neighbouring devices, in turns.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ByLabel {
    /// How many devices share a label.
    pub sharers: u32,
}

impl Default for ByLabel {
    fn default() -> Self {
        ByLabel { sharers: 2 }
    }
}

impl Partition for ByLabel {
    fn check(&self) -> Result<(), Unfit> {
        at_least_one("fleet.sharers", self.sharers)
    }

    fn deal(&self, train: &Dataset, devices: usize, _: &mut Stream) -> Vec<Vec<u32>> {
        let mut parts = vec![Vec::new(); devices];
        for (index, &label) in (0u32..).zip(train.labels()) {
            let turn = index as usize % self.sharers as usize;
            parts[(usize::from(label) + turn) % devices].push(index);
        }
        leave_none_empty(&mut parts);
        parts
    }
}
