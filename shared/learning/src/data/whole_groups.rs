//! The partition by groups that the examples are in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use input::unfit::{Unfit, require};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dealing::shuffled;
use super::{Dataset, Groups, Partition};
use crate::random::Stream;

/// Devices have whole groups: those of the `group` of a file of your own, or the writers of FEMNIST.
///
/// Where there are as many groups as devices, device i has the i-th, in the order of their names. Where there are more, each
/// group, the largest first, goes to the device with the fewest examples so far (the lowest of these), or each device has as many
/// as `groups-per-device` says.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct WholeGroups {
    /// How many groups each device has, drawn by the seed, with the rest left out; if nobody says it, all of them are dealt out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups_per_device: Option<u32>,
}

impl Partition for WholeGroups {
    fn check(&self) -> Result<(), Unfit> {
        require(self.groups_per_device != Some(0), "fleet.groups-per-device", || {
            "must be at least 1".to_owned()
        })
    }

    fn fits(&self, train: &Dataset, devices: usize) -> Result<(), Unfit> {
        let groups = train.groups().map(|groups| groups.members().len());
        let Some(groups) = groups else {
            let text = "`groups` deals out whole groups, and the examples are in none; `dataset.group` of a file of your own says in \
                        which, or name another partition";
            return Err(("fleet.partition", text.to_owned()));
        };
        let each = self.groups_per_device.unwrap_or(1) as usize;
        require(devices.saturating_mul(each) <= groups, "fleet.devices", || {
            let each = if each > 1 { format!("{each} whole groups") } else { "a whole group".to_owned() };
            format!(
                "{devices} devices cannot have {each} each: the training examples are in {groups} groups; lower it"
            )
        })
    }

    fn deal(&self, train: &Dataset, devices: usize, random: &mut Stream) -> Vec<Vec<u32>> {
        let groups = train.groups().map(Groups::members).unwrap_or_default();
        let join = |groups_of_device: &[u32]| {
            let examples = groups_of_device.iter().flat_map(|group| &groups[*group as usize]);
            let mut examples: Vec<u32> = examples.copied().collect();
            examples.sort_unstable();
            examples
        };
        let all = 0..groups.len() as u32;
        if let Some(each) = self.groups_per_device {
            return shuffled(all.collect(), random)
                .chunks_exact(each as usize)
                .take(devices)
                .map(join)
                .collect();
        }
        let mut order: Vec<u32> = all.collect();
        if order.len() > devices {
            order.sort_by_key(|group| Reverse(groups[*group as usize].len()));
        }
        let mut least: BinaryHeap<_> = (0..devices).map(|device| Reverse((0, device))).collect();
        let mut parts = vec![Vec::new(); devices];
        for group in order {
            let Some(Reverse((examples, device))) = least.pop() else { break };
            parts[device].push(group);
            least.push(Reverse((examples + groups[group as usize].len(), device)));
        }
        parts.iter().map(|groups_of_device| join(groups_of_device)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Features;
    use super::*;
    use crate::random::{Purpose, stream};

    /// Examples in groups of these sizes, one example of each group after the other as long as it has any.
    fn grouped(sizes: &[usize]) -> Dataset {
        let longest = sizes.iter().max().unwrap();
        let turns = (0..*longest).flat_map(|turn| (0..sizes.len()).filter(move |group| turn < sizes[*group]));
        let of: Vec<u16> = turns.map(|group| group as u16).collect();
        let names = (0..sizes.len()).map(|group| group.to_string()).collect();
        let all = Dataset::new(vec![1], 1, Features::Bytes(vec![0; of.len()]), vec![0; of.len()]).unwrap();
        all.with_groups(Groups::new(names, of).unwrap()).unwrap()
    }

    fn deal(partition: &WholeGroups, train: &Dataset, devices: usize) -> Vec<Vec<u32>> {
        partition.fits(train, devices).unwrap();
        let parts = partition.deal(train, devices, &mut stream(7, Purpose::Partition, None, 0));
        assert!(parts.len() == devices && parts.iter().all(|part| part.is_sorted() && !part.is_empty()));
        parts
    }

    /// The groups of each part, with how many examples of each.
    fn groups(train: &Dataset, parts: &[Vec<u32>]) -> Vec<Vec<(u16, usize)>> {
        let of = train.groups().unwrap().of();
        let count = |part: &Vec<u32>| {
            let mut groups: Vec<u16> = part.iter().map(|example| of[*example as usize]).collect();
            groups.sort_unstable();
            groups.chunk_by(|a, b| a == b).map(|group| (group[0], group.len())).collect()
        };
        parts.iter().map(count).collect()
    }

    #[test]
    fn as_many_devices_as_groups_have_one_each_in_their_order() {
        let train = grouped(&[1, 3, 2]);
        let parts = deal(&WholeGroups::default(), &train, 3);
        assert_eq!(groups(&train, &parts), [vec![(0, 1)], vec![(1, 3)], vec![(2, 2)]]);
    }

    #[test]
    fn more_groups_than_devices_are_dealt_by_size_and_stay_whole() {
        let train = grouped(&[5, 1, 4, 3, 3]);
        let parts = deal(&WholeGroups::default(), &train, 2);
        assert_eq!(groups(&train, &parts), [vec![(0, 5), (4, 3)], vec![(1, 1), (2, 4), (3, 3)]]);
    }

    #[test]
    fn so_many_groups_for_each_device_are_drawn_by_the_seed() {
        let train = grouped(&[2; 30]);
        let partition = WholeGroups { groups_per_device: Some(3) };
        let parts = deal(&partition, &train, 4);
        let mut drawn: Vec<(u16, usize)> = groups(&train, &parts).concat();
        assert!(groups(&train, &parts).iter().all(|groups| groups.len() == 3));
        drawn.sort_unstable();
        drawn.dedup();
        assert!(drawn.len() == 12 && drawn.iter().all(|(_, examples)| *examples == 2));
        let other = partition.deal(&train, 4, &mut stream(8, Purpose::Partition, None, 0));
        assert_ne!(other, parts);
        assert!(WholeGroups { groups_per_device: Some(0) }.check().is_err());
    }

    #[test]
    fn fewer_groups_than_devices_are_refused_with_the_numbers() {
        let refused =
            |partition: WholeGroups, devices: usize| partition.fits(&grouped(&[4, 4]), devices).unwrap_err();
        assert_eq!(
            refused(WholeGroups::default(), 3),
            (
                "fleet.devices",
                "3 devices cannot have a whole group each: the training examples are in 2 groups; lower it"
                    .to_owned()
            )
        );
        assert!(refused(WholeGroups { groups_per_device: Some(2) }, 2).1.contains("2 whole groups each"));
        // A group of which no example is drawn for training is none.
        assert!(WholeGroups::default().fits(&grouped(&[1, 4]).select(&[1, 2]), 2).is_err());
        let none = Dataset::new(vec![1], 1, Features::Bytes(vec![0]), vec![0]).unwrap();
        assert!(WholeGroups::default().fits(&none, 1).unwrap_err().1.contains("the examples are in none"));
    }
}
