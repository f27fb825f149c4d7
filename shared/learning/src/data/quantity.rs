//! The partition by which devices differ in how many examples they have.

use input::unfit::{Unfit, positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dealing::{cut_by_dirichlet, finished, shuffled};
use super::{Dataset, Partition};
use crate::random::Stream;

/// Devices have numbers of examples that are drawn from a Dirichlet distribution, of whatever labels.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Quantity {
    /// How even the numbers are: with much more than 1 they are all alike, with much less few devices have most examples.
    pub alpha: f64,
}

impl Default for Quantity {
    fn default() -> Self {
        Quantity { alpha: 0.5 }
    }
}

impl Partition for Quantity {
    fn check(&self) -> Result<(), Unfit> {
        positive("fleet.alpha", self.alpha)
    }

    fn deal(&self, train: &Dataset, devices: usize, random: &mut Stream) -> Vec<Vec<u32>> {
        let mut parts = vec![Vec::new(); devices];
        let examples = shuffled((0..train.len() as u32).collect(), random);
        cut_by_dirichlet(&examples, self.alpha, &mut parts, random);
        finished(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::dealing::testing::{assert_all_dealt, deal};
    use super::*;

    #[test]
    fn numbers_of_examples_differ_and_labels_do_not() {
        let labels: Vec<u16> = (0..50_000).map(|index| u16::from(index % 5 == 0)).collect();
        let parts = deal(&Quantity::default(), &labels, 20);
        assert_all_dealt(&parts, labels.len());
        let longest = parts.iter().map(Vec::len).max().unwrap();
        assert!(longest > 5_000, "{longest}, where an even share is 2,500");
        for part in parts.iter().filter(|part| part.len() > 1_000) {
            let share = part.iter().filter(|&&index| labels[index as usize] == 1).count() as f64;
            let share = share / part.len() as f64;
            assert!((share - 0.2).abs() < 0.05, "{share}");
        }
    }

    #[test]
    fn a_large_alpha_gives_all_as_many() {
        let parts = deal(&Quantity { alpha: 1e6 }, &vec![0; 10_000], 10);
        assert!(parts.iter().all(|part| (980..1020).contains(&part.len())));
    }
}
