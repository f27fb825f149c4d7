//! The non-IID partition of the paper.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use rand::Rng as _;

use crate::random::Stream;

/// Deals examples out to `devices` (paper section 4.1): for each device the indices into `labels` of its
/// examples, in ascending order. Every example goes to exactly one device.
///
/// The devices form min(`classes`, `devices`) contiguous groups of (nearly) even size: device i is in group
/// ⌊i · groups / devices⌋, and label l belongs to group l mod groups. An example goes to the group of its
/// label with probability `non_iid` (the paper's p, from 0 to 1) and otherwise to one of the other groups,
/// each equally likely; within the group, to each device equally likely. `non_iid` = 1 / groups is IID.
///
/// The paper does not say what a device without examples does. Here none is left without while another has
/// two: the lowest such device takes the last example of the device with the most (the lowest of these).
pub fn partition(
    labels: &[u8],
    classes: usize,
    devices: usize,
    non_iid: f64,
    random: &mut Stream,
) -> Vec<Vec<u32>> {
    let mut parts = vec![Vec::new(); devices];
    let groups = classes.min(devices);
    if groups == 0 {
        return parts;
    }
    for (index, &label) in (0u32..).zip(labels) {
        let own = usize::from(label) % groups;
        let group = if groups == 1 || random.random::<f64>() < non_iid {
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

/// The devices of `group`: all i with ⌊i · groups / devices⌋ = group.
fn members(group: usize, groups: usize, devices: usize) -> Range<usize> {
    (group * devices).div_ceil(groups)..((group + 1) * devices).div_ceil(groups)
}

/// Draws as `u32`, so that 32-bit boards draw the same numbers.
fn draw(range: Range<usize>, random: &mut Stream) -> usize {
    random.random_range(range.start as u32..range.end as u32) as usize
}

fn leave_none_empty(parts: &mut [Vec<u32>]) {
    let empty: Vec<usize> = (0..parts.len()).filter(|&device| parts[device].is_empty()).collect();
    let mut largest: BinaryHeap<_> =
        parts.iter().enumerate().map(|(device, part)| (part.len(), Reverse(device))).collect();
    for empty in empty {
        let Some((examples, Reverse(donor))) = largest.pop().filter(|(examples, _)| *examples > 1) else {
            return;
        };
        let example = parts[donor].pop();
        parts[empty].extend(example);
        largest.push((examples - 1, Reverse(donor)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::{Purpose, stream};

    const CLASSES: usize = 10;

    fn deal(labels: &[u8], devices: usize, non_iid: f64) -> Vec<Vec<u32>> {
        partition(labels, CLASSES, devices, non_iid, &mut stream(7, Purpose::Partition, None, 0))
    }

    fn labels(count: usize) -> Vec<u8> {
        (0..count).map(|index| (index % CLASSES) as u8).collect()
    }

    /// Share of the examples that are on a device of their label's group.
    fn share_at_home(labels: &[u8], parts: &[Vec<u32>]) -> f64 {
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
            for label in 0..CLASSES as u8 {
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

    #[test]
    fn a_device_without_examples_takes_the_last_one_of_the_largest() {
        let mut parts = vec![vec![], vec![0, 1, 2], vec![3, 4, 5], vec![]];
        leave_none_empty(&mut parts);
        assert_eq!(parts, [vec![2], vec![0, 1], vec![3, 4], vec![5]]);
    }

    #[test]
    fn the_same_seed_deals_the_same() {
        assert_eq!(deal(&labels(500), 20, 0.5), deal(&labels(500), 20, 0.5));
    }

    proptest! {
        #[test]
        fn every_example_goes_to_exactly_one_device_in_ascending_order(
            labels in prop::collection::vec(0u8..10, 0..200),
            devices in 1usize..30,
            non_iid in 0.0..=1.0f64,
            seed: u64,
        ) {
            let random = &mut stream(seed, Purpose::Partition, None, 0);
            let parts = partition(&labels, CLASSES, devices, non_iid, random);
            prop_assert_eq!(parts.len(), devices);
            prop_assert!(parts.iter().all(|part| part.is_sorted()));
            prop_assert_eq!(parts.iter().filter(|part| part.is_empty()).count(), devices.saturating_sub(labels.len()));
            let mut all = parts.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len() as u32).collect::<Vec<_>>());
        }
    }
}
