//! The partition of federated averaging.

use input::unfit::{Unfit, require};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dealing::{by_label, cut_evenly, finished, shuffled};
use super::{Dataset, Partition};
use crate::random::Stream;

/// The most pieces that a device may have, which bounds how many are made.
const MOST: u32 = 1_000;

/// The examples, sorted by label, are cut into equal pieces, of which each device gets a few at random (McMahan et al. 2017).
///
/// Examples of one label keep the order of the data set.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LabelShards {
    /// How many pieces a device gets.
    pub shards: u32,
}

impl Default for LabelShards {
    fn default() -> Self {
        LabelShards { shards: 2 }
    }
}

impl Partition for LabelShards {
    fn check(&self) -> Result<(), Unfit> {
        require((1..=MOST).contains(&self.shards), "fleet.shards", || {
            format!("{} must lie between 1 and {MOST}", self.shards)
        })
    }

    fn deal(&self, train: &Dataset, devices: usize, random: &mut Stream) -> Vec<Vec<u32>> {
        let labels = train.labels();
        let sorted = by_label((0..labels.len() as u32).collect(), labels);
        let pieces = devices as u32 * self.shards;
        let order = shuffled((0..pieces).collect(), random);
        let pieces: Vec<&[u32]> = cut_evenly(&sorted, pieces as usize).collect();
        let part = |own: &[u32]| own.iter().flat_map(|&piece| pieces[piece as usize]).copied().collect();
        finished(order.chunks_exact(self.shards as usize).map(part).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::dealing::testing::{assert_all_dealt, deal};
    use super::*;

    #[test]
    fn a_device_has_so_many_pieces_and_so_no_more_labels() {
        // As in the paper: two pieces of 300 examples for each of a hundred devices.
        let labels: Vec<u16> = (0..60_000).map(|index| (index * 7 % 10) as u16).collect();
        let parts = deal(&LabelShards::default(), &labels, 100);
        assert_all_dealt(&parts, labels.len());
        let known = |part: &[u32]| part.iter().map(|&index| labels[index as usize]).collect::<BTreeSet<_>>();
        assert!(parts.iter().all(|part| part.len() == 600 && known(part).len() <= 2));
        assert!(parts.iter().any(|part| known(part).len() == 2), "pieces are dealt at random");
    }

    #[test]
    fn pieces_that_do_not_come_out_even_differ_by_one_example() {
        let labels: Vec<u16> = (0..103).map(|index| (index % 4) as u16).collect();
        let parts = deal(&LabelShards { shards: 5 }, &labels, 4);
        assert_all_dealt(&parts, labels.len());
        assert!(parts.iter().all(|part| (25..=30).contains(&part.len())));
    }

    #[test]
    fn more_pieces_than_examples_leave_no_device_without() {
        assert_all_dealt(&deal(&LabelShards { shards: 1_000 }, &[0, 1, 0, 1, 1], 5), 5);
    }

    #[test]
    fn no_pieces_and_far_too_many_are_refused() {
        for shards in [0, 1_001, u32::MAX] {
            assert_eq!(LabelShards { shards }.check().unwrap_err().0, "fleet.shards");
        }
    }
}
