//! Which devices are online.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use learning::data::ShardEntry;
use record::UnfitDevice;
use scenario::Scenario;
use tracing::warn;
use wire::identity::DeviceId;
use wire::{Refusal, Status};

use super::Start;

/// After so many rounds in a row without a verdict, a device is not selected until it is heard again.
const ABSENCES: u32 = 3;

/// After so many rounds in a row in which its update was refused for good, a device is not selected until it has been
/// started again.
const REFUSALS: u32 = 3;

/// No device weighs more in the mean than so many times the (lower) median of its round, unless the list of shards says
/// so. The partition deals out shares that differ by less, but for a handful of examples: up to [`HEAVY`] are believed.
const HEAVIEST: u32 = 4;
const HEAVY: u32 = 64;

/// The devices that have been heard of.
///
/// Whatever is asked for every message is answered in constant or logarithmic time: a fleet has up to 100,000 devices.
#[derive(Debug)]
pub(super) struct Roster {
    /// No device can have more examples than the data set: more would buy weight in the mean.
    max_examples: u32,
    /// Whether the examples of an attack may lie with one device, which then has many times as many as others.
    poisoned: bool,
    /// Each device of the fleet; `None` while it has not been heard.
    known: Vec<Option<Entry>>,
    /// What each device trains on, if that is known from elsewhere than its own words.
    listed: Option<BTreeMap<DeviceId, ShardEntry>>,
    /// What those trained on whose updates a recorded round holds, and what they are held to from then on.
    trained_on: BTreeMap<DeviceId, ShardEntry>,
    /// Whose data do not fit, with what it says of that; and what of that is not recorded yet.
    unfit: BTreeMap<DeviceId, Box<str>>,
    newly_unfit: BTreeMap<DeviceId, Box<str>>,
    /// Who is not waited for.
    unexpected: BTreeSet<DeviceId>,
    online: usize,
    /// How many compromised devices the scenario assumes.
    byzantine: usize,
    /// Who is not selected because of what it sends.
    refused: BTreeSet<DeviceId>,
    /// Who has left since the last round was opened, and is not back.
    left: BTreeSet<DeviceId>,
    /// Who had left when it was opened, since the one before.
    left_before: BTreeSet<DeviceId>,
    /// Who is to come back before the next round, see `gather.rs`; and who of them is away.
    awaited: BTreeSet<DeviceId>,
    awaited_away: BTreeSet<DeviceId>,
}

/// What a device said last.
#[derive(Clone, Copy, Debug)]
struct Entry {
    boot: u64,
    shard: ShardEntry,
    /// Whether it can be selected: it said that it is here, and was not absent or refused too often since.
    online: bool,
    /// Rounds in a row that it was selected for and had no verdict in.
    absences: u32,
    /// Rounds in a row in which its update was refused for good.
    refusals: u32,
}

impl Roster {
    pub(super) fn new(scenario: &Scenario, start: &Start) -> Self {
        Roster {
            max_examples: scenario.dataset.spec().max_examples as u32,
            poisoned: scenario.attack.kind.as_ref().is_some_and(|attack| attack.plants()),
            known: vec![None; scenario.fleet.devices as usize],
            listed: start.listed.clone(),
            trained_on: start.trained_on.clone(),
            unfit: BTreeMap::new(),
            newly_unfit: BTreeMap::new(),
            unexpected: BTreeSet::new(),
            online: 0,
            byzantine: scenario.byzantine() as usize,
            refused: BTreeSet::new(),
            left: BTreeSet::new(),
            left_before: BTreeSet::new(),
            awaited: BTreeSet::new(),
            awaited_away: BTreeSet::new(),
        }
    }

    pub(super) fn expect_without(&mut self, devices: &[DeviceId]) {
        self.unexpected
            .extend(devices.iter().copied().filter(|device| (device.0 as usize) < self.known.len()));
    }

    pub(super) fn fleet(&self) -> impl Iterator<Item = DeviceId> + use<> {
        (0..self.known.len() as u32).map(DeviceId)
    }

    pub(super) fn is_of_fleet(&self, device: DeviceId) -> bool {
        (device.0 as usize) < self.known.len()
    }

    /// Takes a status of a device of the fleet, of this scenario and protocol; the error says why it is not to be
    /// believed.
    pub(super) fn enter(&mut self, status: &Status) -> Result<(), (Refusal, String)> {
        let &Status { device, boot, examples, online, shard, .. } = status;
        let shard = ShardEntry { device, examples, blake3: shard };
        let known = self.entry(device);
        let same = known.filter(|entry| entry.boot == boot);
        if !online {
            // Of another boot id it is the last will of an earlier process, late: the present one is still here.
            if same.is_some() {
                self.leave(device);
            }
            return Ok(());
        }
        if let (0, Some(why)) = (examples, &status.error) {
            return Err(self.does_not_fit(device, why));
        }
        self.check(&shard).inspect_err(|_| self.leave(device))?;
        self.unfit.remove(&device);
        if same.is_some() && self.refused.contains(&device) {
            return Ok(());
        }
        self.refused.remove(&device);
        // One that is heard again and never delivers has one round to do so.
        let absences = known.map_or(0, |entry| entry.absences.min(ABSENCES - 1));
        let refusals = same.map_or(0, |entry| entry.refusals);
        self.online += usize::from(!is_online(known));
        if let Some(entry) = self.known.get_mut(device.0 as usize) {
            *entry = Some(Entry { boot, shard, online, absences, refusals });
        }
        self.left.remove(&device);
        self.awaited_away.remove(&device);
        Ok(())
    }

    /// `device` says that its data are not those of the scenario.
    fn does_not_fit(&mut self, device: DeviceId, why: &str) -> (Refusal, String) {
        self.leave(device);
        if self.unfit.insert(device, why.into()).as_deref() != Some(why) {
            self.newly_unfit.insert(device, why.into());
        }
        (Refusal::WrongShard, format!("its data do not fit: {why}"))
    }

    /// Whose data do not fit, as far as that is new to the record.
    pub(super) fn newly_unfit(&mut self) -> Vec<UnfitDevice> {
        let fresh = mem::take(&mut self.newly_unfit).into_iter();
        fresh.map(|(device, why)| UnfitDevice { device, why }).collect()
    }

    /// The first of those whose data do not fit, with what it says of that, and how many others there are.
    pub(super) fn first_unfit(&self) -> Option<(DeviceId, &str, usize)> {
        let (device, why) = self.unfit.first_key_value()?;
        Some((*device, why, self.unfit.len() - 1))
    }

    /// Whether that is what its device trains on.
    fn check(&self, claimed: &ShardEntry) -> Result<(), (Refusal, String)> {
        let ShardEntry { device, examples, blake3 } = claimed;
        if !(1..=self.max_examples).contains(examples) {
            return Err((Refusal::Malformed, format!("claims {examples} examples")));
        }
        let (known, source) = match &self.listed {
            Some(listed) => (listed.get(device), "the list of shards has"),
            None => (self.trained_on.get(device), "earlier rounds had"),
        };
        if let Some(known) = known.filter(|known| *known != claimed) {
            let ShardEntry { examples: those, blake3: that, .. } = known;
            let detail = format!(
                "trains on {examples} examples ({blake3}), but {source} {those} ({that}); give it the shard that was \
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
            if let Some(entry) = self.entry(device)
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
        if self.is_gone(device) {
            self.left.insert(device);
        } else if let Some(entry) = self.known_mut(device) {
            entry.absences = entry.absences.min(ABSENCES - 1);
        }
    }

    /// Something else than a status came from `device` just now: it is there, if it was only absent.
    pub(super) fn heard(&mut self, device: DeviceId) {
        let Some(entry) = self.known_mut(device).filter(|entry| entry.absences >= ABSENCES) else { return };
        entry.absences = ABSENCES - 1;
        entry.online = true;
        self.online += 1;
        self.awaited_away.remove(&device);
    }

    /// Takes note that `device` is not here any more; false if it was not before.
    fn is_gone(&mut self, device: DeviceId) -> bool {
        let Some(entry) = self.known_mut(device).filter(|entry| entry.online) else { return false };
        entry.online = false;
        self.online -= 1;
        if self.awaited.contains(&device) {
            self.awaited_away.insert(device);
        }
        true
    }

    /// A round is closed for which `device` was selected, and in which it had no verdict.
    pub(super) fn was_absent(&mut self, device: DeviceId) {
        let Some(entry) = self.known_mut(device) else { return };
        entry.absences = entry.absences.saturating_add(1);
        if entry.absences >= ABSENCES && self.is_gone(device) {
            warn!("{device}: absent from {ABSENCES} rounds in a row, not selected until it is heard again");
        }
    }

    /// An update of `device` was refused for good.
    pub(super) fn was_refused(&mut self, device: DeviceId) {
        // Not more than the scenario assumes: where a model that has gone wrong lets all train what is refused, all
        // of them are called on.
        let room = self.refused.len() < self.byzantine;
        let Some(entry) = self.known_mut(device) else { return };
        (entry.absences, entry.refusals) = (0, entry.refusals.saturating_add(1));
        if entry.refusals >= REFUSALS && room && self.is_gone(device) {
            self.refused.insert(device);
            warn!(
                "{device}: refused in {REFUSALS} rounds in a row, not selected until its client starts again"
            );
        }
    }

    /// An update of `device` was aggregated.
    pub(super) fn was_accepted(&mut self, device: DeviceId) {
        if let Some(entry) = self.known_mut(device) {
            (entry.absences, entry.refusals) = (0, 0);
        }
    }

    /// How many of `selection` are not selected because they were refused again and again.
    pub(super) fn refused_of_late(&self, selection: &BTreeSet<DeviceId>) -> usize {
        self.refused.iter().filter(|device| selection.contains(device)).count()
    }

    /// A round is opened, with those who are here.
    pub(super) fn round_opened(&mut self) {
        self.left_before = mem::take(&mut self.left);
        self.awaited.clear();
        self.awaited_away.clear();
    }

    /// Who had left just before the last round was opened.
    pub(super) fn left_before_the_round(&self) -> &BTreeSet<DeviceId> {
        &self.left_before
    }

    /// `devices` are to come back before the next round.
    pub(super) fn wait_for(&mut self, devices: impl IntoIterator<Item = DeviceId>) {
        for device in devices {
            self.awaited.insert(device);
            if !self.is_online(device) {
                self.awaited_away.insert(device);
            }
        }
    }

    /// Those who are online, or have left since the last round was opened, are to come back before the next.
    pub(super) fn wait_for_all_of_late(&mut self) {
        let online = (0..).map(DeviceId).zip(&self.known).filter(|(_, entry)| is_online(**entry));
        let devices: Vec<_> = online.map(|(device, _)| device).chain(self.left.iter().copied()).collect();
        self.wait_for(devices);
    }

    /// Whether anybody is waited for.
    pub(super) fn awaits_anybody(&self) -> bool {
        !self.awaited.is_empty()
    }

    pub(super) fn all_awaited_are_here(&self) -> bool {
        self.awaited_away.is_empty()
    }

    /// Number of devices that are online.
    pub(super) fn online(&self) -> usize {
        self.online
    }

    pub(super) fn is_online(&self, device: DeviceId) -> bool {
        is_online(self.entry(device))
    }

    /// Whether everybody is here who is waited for.
    pub(super) fn is_complete(&self) -> bool {
        let wanted = self.known.len() - self.refused.len();
        // Asked for every message: who is not waited for is looked at only when it may come down to that.
        let unexpected = || {
            let away = |device: &&DeviceId| !self.is_online(**device) && !self.refused.contains(device);
            self.unexpected.iter().filter(away).count()
        };
        self.online + self.unexpected.len() >= wanted && self.online + unexpected() >= wanted
    }

    /// Those of `wanted` that are online, in ascending order.
    pub(super) fn present(&self, wanted: &BTreeSet<DeviceId>) -> Vec<DeviceId> {
        wanted.iter().copied().filter(|&device| self.is_online(device)).collect()
    }

    /// Numbers of examples of `devices`, as weights in the mean; also of those that have left since they sent their
    /// updates. Claims that no list vouches for are capped.
    pub(super) fn weights(&self, devices: impl Iterator<Item = DeviceId>) -> Vec<f64> {
        let examples = |device| self.entry(device).map_or(1, |entry| entry.shard.examples);
        let mut examples: Vec<u32> = devices.map(examples).collect();
        if self.listed.is_none() && !self.poisoned {
            let mut sorted = examples.clone();
            sorted.sort_unstable();
            let median = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default();
            let most = median.saturating_mul(HEAVIEST).max(HEAVY);
            examples.iter_mut().for_each(|examples| *examples = most.min(*examples));
        }
        examples.into_iter().map(f64::from).collect()
    }

    fn known_mut(&mut self, device: DeviceId) -> Option<&mut Entry> {
        self.known.get_mut(device.0 as usize)?.as_mut()
    }

    fn entry(&self, device: DeviceId) -> Option<Entry> {
        self.known.get(device.0 as usize).copied().flatten()
    }
}

fn is_online(entry: Option<Entry>) -> bool {
    entry.is_some_and(|entry| entry.online)
}
