//! The partition by which devices differ by chance alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::partition::{draw, leave_none_empty};
use super::{Dataset, Partition};
use crate::random::Stream;

/// Every example goes to each device equally likely, whatever its label.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Iid {}

impl Partition for Iid {
    fn deal(&self, train: &Dataset, devices: usize, random: &mut Stream) -> Vec<Vec<u32>> {
        let mut parts = vec![Vec::new(); devices];
        for index in 0..train.len() as u32 {
            parts[draw(0..devices, random)].push(index);
        }
        leave_none_empty(&mut parts);
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::super::dealing::testing::deal;
    use super::*;

    #[test]
    fn every_device_gets_about_as_many_examples_of_every_label() {
        let labels: Vec<u16> = (0..100_000).map(|index| (index % 10) as u16).collect();
        let parts = deal(&Iid {}, &labels, 20);
        for part in parts {
            for label in 0..10 {
                // Mean 500, standard deviation 22: five of them.
                let count = part.iter().filter(|&&index| labels[index as usize] == label).count();
                assert!((390..=610).contains(&count), "{count} examples of label {label}");
            }
        }
    }
}
