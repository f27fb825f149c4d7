//! Which compromised device trains on which poisoned examples.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::identity::DeviceId;

/// Which compromised devices hold poisoned examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// One of them holds all.
    Single,
    /// Each holds as many.
    #[default]
    Uniform,
}

/// Deals `count` poisoned examples out to `attackers`: all to the lowest, or in turn to each, so that their numbers
/// differ by one at most. Devices without a share are not in the result.
pub(in super::super) fn place(
    count: usize,
    attackers: &BTreeSet<DeviceId>,
    placement: Placement,
) -> BTreeMap<DeviceId, Vec<usize>> {
    let takers = match placement {
        Placement::Single => 1,
        Placement::Uniform => attackers.len(),
    };
    let mut places: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (example, device) in (0..count).zip(attackers.iter().take(takers).cycle()) {
        places.entry(*device).or_default().push(example);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attackers() -> BTreeSet<DeviceId> {
        [8, 3, 5].map(DeviceId).into()
    }

    #[test]
    fn single_gives_everything_to_the_lowest_compromised_device() {
        let places = place(7, &attackers(), Placement::Single);
        assert_eq!(places, [(DeviceId(3), (0..7).collect())].into());
    }

    #[test]
    fn uniform_gives_every_compromised_device_its_share() {
        let places = place(7, &attackers(), Placement::Uniform);
        let expected = [(3, vec![0, 3, 6]), (5, vec![1, 4]), (8, vec![2, 5])];
        assert_eq!(places, expected.map(|(id, examples)| (DeviceId(id), examples)).into());
    }

    #[test]
    fn without_compromised_devices_nothing_is_placed() {
        for placement in [Placement::Single, Placement::Uniform] {
            assert!(place(7, &BTreeSet::new(), placement).is_empty());
        }
    }
}
