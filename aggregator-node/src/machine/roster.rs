//! Who is here.

use std::collections::{BTreeMap, BTreeSet};

use shared::data::ShardEntry;
use shared::identity::DeviceId;
use shared::scenario::Scenario;
use shared::wire::{Refusal, Status};

use super::Start;

/// The devices that have been heard of.
#[derive(Debug)]
pub(super) struct Roster {
    devices: u32,
    /// No device can have more examples than the data set: more would buy weight in the mean.
    max_examples: u32,
    known: BTreeMap<DeviceId, Entry>,
    /// What each device trains on, if that is known from elsewhere than its own words.
    listed: Option<BTreeMap<DeviceId, ShardEntry>>,
    /// What those trained on whose updates a recorded round holds, and what they are held to from then on.
    trained_on: BTreeMap<DeviceId, ShardEntry>,
    /// Who is not waited for.
    unexpected: BTreeSet<DeviceId>,
    /// Who has left since the last round was opened, and is not back.
    left: BTreeSet<DeviceId>,
    /// Who had left when it was opened, since the one before.
    left_before: BTreeSet<DeviceId>,
}

/// What a device said last.
#[derive(Clone, Copy, Debug)]
struct Entry {
    boot: u64,
    shard: ShardEntry,
    online: bool,
}

impl Roster {
    pub(super) fn new(scenario: &Scenario, start: &Start) -> Self {
        let max_examples = scenario.dataset.spec().max_examples as u32;
        Roster {
            devices: scenario.fleet.devices,
            max_examples,
            known: BTreeMap::new(),
            listed: start.listed.clone(),
            trained_on: start.trained_on.clone(),
            unexpected: BTreeSet::new(),
            left: BTreeSet::new(),
            left_before: BTreeSet::new(),
        }
    }

    pub(super) fn expect_without(&mut self, devices: &[DeviceId]) {
        self.unexpected.extend(devices.iter().copied().filter(|device| device.0 < self.devices));
    }

    pub(super) fn is_of_fleet(&self, device: DeviceId) -> bool {
        device.0 < self.devices
    }

    /// Takes a status of a device of the fleet, of this scenario and protocol; the error says why it is not to be
    /// believed.
    pub(super) fn enter(&mut self, status: &Status) -> Result<(), (Refusal, String)> {
        let &Status { device, boot, examples, online, shard, .. } = status;
        let shard = ShardEntry { device, examples, blake3: shard };
        if !online {
            // Of another boot id it is the last will of an earlier process, late: the present one is still here.
            if self.known.get(&device).is_some_and(|entry| entry.boot == boot) {
                self.leave(device);
            }
            return Ok(());
        }
        self.check(&shard).inspect_err(|_| self.leave(device))?;
        self.known.insert(device, Entry { boot, shard, online });
        self.left.remove(&device);
        Ok(())
    }

    /// Whether that is what its device trains on.
    fn check(&self, claimed: &ShardEntry) -> Result<(), (Refusal, String)> {
        let ShardEntry { device, examples, blake3 } = claimed;
        if !(1..=self.max_examples).contains(examples) {
            return Err((Refusal::Malformed, format!("claims {examples} examples")));
        }
        let (known, whence) = match &self.listed {
            Some(listed) => (listed.get(device), "the list of shards has"),
            None => (self.trained_on.get(device), "earlier rounds had"),
        };
        if let Some(known) = known.filter(|known| *known != claimed) {
            let ShardEntry { examples: those, blake3: that, .. } = known;
            let detail = format!(
                "trains on {examples} examples ({blake3}), but {whence} {those} ({that}); give it the shard that was \
                 made for it"
            );
            return Err((Refusal::WrongShard, detail));
        }
        Ok(())
    }

    /// The shards of `devices`, whose updates are about to be recorded, as far as they are new to the record.
    pub(super) fn trained(&mut self, devices: impl Iterator<Item = DeviceId>) -> Vec<ShardEntry> {
        let mut fresh = Vec::new();
        for device in devices {
            if let Some(entry) = self.known.get(&device)
                && !self.trained_on.contains_key(&device)
            {
                self.trained_on.insert(device, entry.shard);
                fresh.push(entry.shard);
            }
        }
        fresh
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
        let away = self.unexpected.iter().filter(|device| !self.is_online(**device)).count();
        self.online() + away == self.devices as usize
    }

    /// Those of `wanted` that are online, in ascending order.
    pub(super) fn present(&self, wanted: &BTreeSet<DeviceId>) -> Vec<DeviceId> {
        wanted.iter().copied().filter(|&device| self.is_online(device)).collect()
    }

    /// Number of examples of `device`, as weight in the mean; also of one that has left since it sent its update.
    pub(super) fn examples(&self, device: DeviceId) -> f64 {
        self.known.get(&device).map_or(1.0, |entry| f64::from(entry.shard.examples))
    }
}
