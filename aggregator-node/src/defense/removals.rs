//! Which updates of a round the defense of a run removes.

use std::collections::BTreeSet;

use rand::RngCore;
use shared::identity::DeviceId;
use shared::random::{Purpose, stream};
use shared::scenario::{Scenario, Ties};

use super::{Defense, LeaveOneOut, TieBreaker, build};

/// A scenario's defense, and how many updates it removes.
pub struct Removals {
    defense: Box<dyn Defense>,
    count: usize,
    seed: u64,
    /// The devices that [`Ties`] favour.
    favoured: BTreeSet<DeviceId>,
}

impl Removals {
    /// The defense of `scenario`; `None` if it has none, or one that removes no update.
    pub fn of(scenario: &Scenario) -> Option<Self> {
        let count = scenario.removals();
        let defense = build(scenario.defense.kind).filter(|_| count > 0)?;
        Some(Removals { defense, count, seed: scenario.seed, favoured: favoured(scenario) })
    }

    /// In which order equally harmful updates of `devices` are removed in `round`.
    ///
    /// Ties are broken by a draw for each device and round, so that the outcome hangs neither on the order of the
    /// rows nor, over the rounds, on the device; with [`Ties`] that favour a side, its devices come last.
    pub fn tie_breakers(&self, round: u32, devices: &[DeviceId]) -> Vec<TieBreaker> {
        let tie_breaker = |&device: &DeviceId| {
            let drawn = stream(self.seed, Purpose::Validation, Some(device), round).next_u64();
            (self.favoured.contains(&device), drawn)
        };
        devices.iter().map(tie_breaker).collect()
    }

    /// The rows to remove before the rule aggregates the rest: `fewer` by each criterion than the scenario says, for so many
    /// Byzantine devices are known and have no row.
    pub fn harmful(&self, evidence: &LeaveOneOut, fewer: u32) -> BTreeSet<usize> {
        self.defense.remove(evidence, self.count.saturating_sub(fewer as usize))
    }
}

/// The devices of the side that is not hit first.
fn favoured(scenario: &Scenario) -> BTreeSet<DeviceId> {
    let attackers = scenario.attackers();
    match scenario.defense.ties {
        Ties::Drawn => BTreeSet::new(),
        Ties::Compromised => scenario.devices().filter(|device| !attackers.contains(device)).collect(),
        Ties::Benign => attackers,
    }
}
