//! Who is here.

use std::collections::{BTreeMap, BTreeSet};

use shared::identity::DeviceId;
use shared::scenario::Scenario;
use shared::wire::Status;

/// The devices that have said they are online, and how many examples each has.
#[derive(Debug)]
pub(super) struct Roster {
    devices: u32,
    /// No device can have more examples than the data set: more would buy weight in the mean.
    max_examples: u32,
    online: BTreeMap<DeviceId, u32>,
}

impl Roster {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let max_examples = scenario.dataset.spec().max_examples as u32;
        Roster { devices: scenario.fleet.devices, max_examples, online: BTreeMap::new() }
    }

    pub(super) fn is_of_fleet(&self, device: DeviceId) -> bool {
        device.0 < self.devices
    }

    /// Takes a status of a device of the fleet; false if it is not to be believed.
    pub(super) fn enter(&mut self, status: &Status) -> bool {
        let credible = (1..=self.max_examples).contains(&status.examples);
        if status.online && credible {
            self.online.insert(status.device, status.examples);
        } else {
            self.online.remove(&status.device);
        }
        credible
    }

    pub(super) fn online(&self) -> usize {
        self.online.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.online.len() == self.devices as usize
    }

    /// Those of `wanted` that are online, in ascending order.
    pub(super) fn present(&self, wanted: &BTreeSet<DeviceId>) -> Vec<DeviceId> {
        wanted.iter().copied().filter(|device| self.online.contains_key(device)).collect()
    }

    /// Number of examples of `device`, as weight in the mean.
    pub(super) fn examples(&self, device: DeviceId) -> f64 {
        self.online.get(&device).copied().map_or(1.0, f64::from)
    }
}
