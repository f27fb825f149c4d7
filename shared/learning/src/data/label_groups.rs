//! The non-IID partition of the paper.

use std::ops::Range;

use input::unfit::{Unfit, require};
use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::partition::{draw, leave_none_empty};
use super::{Dataset, Partition};
use crate::random::Stream;

/// The paper's: an example goes with a certain probability to the group of devices of its label (section 4.1).
///
/// The devices form min(`classes`, `devices`) contiguous groups of (nearly) even size: device i is in group
/// ⌊i · groups / devices⌋, and label l belongs to group l mod groups. An example goes to the group of its
/// label with probability `non_iid` and otherwise to one of the other groups, each equally likely; within the group, to
/// each device equally likely.
///
/// The paper does not say what a device without examples does. Here none is left without while another has two:
/// [`leave_none_empty`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LabelGroups {
    /// Degree of non-IID (the paper's p): share of a label's examples that go to the label's own group of devices; 1 /
    /// number of groups is IID.
    pub non_iid: f64,
}

impl Default for LabelGroups {
    fn default() -> Self {
        LabelGroups { non_iid: 0.5 }
    }
}

impl Partition for LabelGroups {
    fn check(&self) -> Result<(), Unfit> {
        require((0.0..=1.0).contains(&self.non_iid), "fleet.non-iid", || {
            format!("{} must lie between 0 and 1", self.non_iid)
        })
    }

    fn deal(&self, train: &Dataset, devices: usize, random: &mut Stream) -> Vec<Vec<u32>> {
        let (labels, classes) = (train.labels(), train.classes());
        let mut parts = vec![Vec::new(); devices];
        let groups = classes.min(devices);
        for (index, &label) in (0u32..).zip(labels) {
            let own = usize::from(label) % groups;
            let group = if groups == 1 || random.random::<f64>() < self.non_iid {
                own
            } else {
                let other = draw(0..groups - 1, random);
                if other < own { other } else { other + 1 }
            };
            parts[draw(members(group, groups, devices), random)].push(index);
        }
        leave_none_empty(&mut parts);
        parts
    }
}

/// The devices of `group`: all i with ⌊i · groups / devices⌋ = group.
fn members(group: usize, groups: usize, devices: usize) -> Range<usize> {
    (group * devices).div_ceil(groups)..((group + 1) * devices).div_ceil(groups)
}

#[cfg(test)]
mod tests {
    use super::super::dealing;
    use super::*;

    const CLASSES: usize = 10;

    fn deal(labels: &[u16], devices: usize, non_iid: f64) -> Vec<Vec<u32>> {
        dealing::testing::deal(&LabelGroups { non_iid }, labels, devices)
    }

    fn labels(count: usize) -> Vec<u16> {
        (0..count).map(|index| (index % CLASSES) as u16).collect()
    }

    /// Share of the examples that are on a device of their label's group.
    fn share_at_home(labels: &[u16], parts: &[Vec<u32>]) -> f64 {
        let home = |device: usize, &index: &u32| {
            usize::from(labels[index as usize]) == device * CLASSES / parts.len()
        };
        let count = |(device, part): (usize, &Vec<u32>)| part.iter().filter(|i| home(device, i)).count();
        parts.iter().enumerate().map(count).sum::<usize>() as f64 / labels.len() as f64
    }

    #[test]
    fn the_degree_of_non_iid_is_the_share_of_examples_at_home() {
        let labels = labels(20_000);
        for non_iid in [0.0, 0.1, 0.5, 1.0] {
            let share = share_at_home(&labels, &deal(&labels, 100, non_iid));
            assert!((share - non_iid).abs() < 0.015, "{share} where {non_iid} was asked for");
        }
    }

    #[test]
    fn the_inverse_of_the_number_of_classes_is_iid() {
        let labels = labels(100_000);
        let parts = deal(&labels, CLASSES, 0.1);
        for part in parts {
            for label in 0..CLASSES as u16 {
                // Mean 1000, standard deviation 30: five of them.
                let count = part.iter().filter(|&&i| labels[i as usize] == label).count();
                assert!((850..=1150).contains(&count), "{count} examples of label {label}");
            }
        }
    }

    #[test]
    fn devices_of_a_group_get_equal_shares() {
        // Mean 200, standard deviation 14.
        let parts = deal(&labels(20_000), 100, 0.5);
        assert!(parts.iter().all(|part| (130..270).contains(&part.len())));
    }

    #[test]
    fn groups_are_contiguous_and_even() {
        for (groups, devices) in [(10, 100), (10, 15), (3, 7), (1, 5)] {
            for group in 0..groups {
                let expected: Vec<usize> = (0..devices).filter(|i| i * groups / devices == group).collect();
                assert_eq!(members(group, groups, devices).collect::<Vec<_>>(), expected);
            }
        }
    }
}
