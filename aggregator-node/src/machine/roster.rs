//! Who is here.

use std::collections::{BTreeMap, BTreeSet};

use shared::identity::DeviceId;
use shared::scenario::Scenario;
use shared::wire::Status;

/// The devices that have been heard of.
#[derive(Debug)]
pub(super) struct Roster {
    devices: u32,
    /// No device can have more examples than the data set: more would buy weight in the mean.
    max_examples: u32,
    known: BTreeMap<DeviceId, Entry>,
    /// Who has left since the last round was opened, and is not back.
    left: BTreeSet<DeviceId>,
    /// Who had left when it was opened, since the one before.
    left_before: BTreeSet<DeviceId>,
}

/// What a device said last.
#[derive(Clone, Copy, Debug)]
struct Entry {
    boot: u64,
    examples: u32,
    online: bool,
}

impl Roster {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let max_examples = scenario.dataset.spec().max_examples as u32;
        Roster {
            devices: scenario.fleet.devices,
            max_examples,
            known: BTreeMap::new(),
            left: BTreeSet::new(),
            left_before: BTreeSet::new(),
        }
    }

    pub(super) fn is_of_fleet(&self, device: DeviceId) -> bool {
        device.0 < self.devices
    }

    /// Takes a status of a device of the fleet; false if it is not to be believed.
    pub(super) fn enter(&mut self, status: &Status) -> bool {
        let &Status { device, boot, examples, online, .. } = status;
        let credible = (1..=self.max_examples).contains(&examples);
        if online && credible {
            self.known.insert(device, Entry { boot, examples, online });
            self.left.remove(&device);
        } else if online || self.known.get(&device).is_some_and(|entry| entry.boot == boot) {
            // Otherwise it is the last will of an earlier process, late: the present one is still here.
            self.leave(device);
        }
        credible
    }

    /// `device` cannot take part any more.
    pub(super) fn leave(&mut self, device: DeviceId) {
        if let Some(entry) = self.known.get_mut(&device).filter(|entry| entry.online) {
            entry.online = false;
            self.left.insert(device);
        }
    }

    /// A round is opened, with those who are here.
    pub(super) fn round_opened(&mut self) {
        self.left_before = std::mem::take(&mut self.left);
    }

    /// Who has left since the last round was opened, and is not back.
    pub(super) fn left_lately(&self) -> &BTreeSet<DeviceId> {
        &self.left
    }

    /// Who had left just before the last round was opened.
    pub(super) fn left_before_the_round(&self) -> &BTreeSet<DeviceId> {
        &self.left_before
    }

    pub(super) fn online(&self) -> usize {
        self.all_online().count()
    }

    pub(super) fn is_online(&self, device: DeviceId) -> bool {
        self.known.get(&device).is_some_and(|entry| entry.online)
    }

    /// Those who are online, in ascending order.
    pub(super) fn all_online(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.known.iter().filter(|(_, entry)| entry.online).map(|(&device, _)| device)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.online() == self.devices as usize
    }

    /// Those of `wanted` that are online, in ascending order.
    pub(super) fn present(&self, wanted: &BTreeSet<DeviceId>) -> Vec<DeviceId> {
        wanted.iter().copied().filter(|&device| self.is_online(device)).collect()
    }

    /// Number of examples of `device`, as weight in the mean; also of one that has left since it sent its update.
    pub(super) fn examples(&self, device: DeviceId) -> f64 {
        self.known.get(&device).map_or(1.0, |entry| f64::from(entry.examples))
    }
}
