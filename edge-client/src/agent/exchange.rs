//! The models that the leader of the colluding devices holds in a round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use scenario::attacks::Needs;
use wire::identity::DeviceId;
use wire::{Outgoing, RoundCall};

/// Models by device.
pub(super) type Models = BTreeMap<DeviceId, Arc<[f32]>>;

/// The models that the leader has collected for a round, and what it made of them.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) before_attack: Models,
    pub(super) benign: Models,
    pub(super) progress: Progress,
    /// What was crafted for this device itself.
    pub(super) received: Option<Arc<[f32]>>,
    /// The models that were sent out, for a device that comes back and asks again.
    pub(super) crafted: BTreeMap<DeviceId, Outgoing>,
}

/// How far the crafting of a round has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// Models are still coming in.
    #[default]
    Collecting,
    /// The worker crafts, or has crafted, or could not.
    Crafted,
}

impl Exchange {
    /// Whether everything that the attack needs and that can be hoped for is there. `gone` are devices that are
    /// known to be offline.
    pub(super) fn complete(
        &self,
        call: &RoundCall,
        attackers: &BTreeSet<DeviceId>,
        gone: &BTreeSet<DeviceId>,
        needs: Needs,
    ) -> bool {
        call.selected.iter().all(|device| {
            if attackers.contains(device) {
                self.before_attack.contains_key(device) || gone.contains(device)
            } else {
                needs < Needs::Everyone || self.benign.contains_key(device)
            }
        })
    }

    /// Whether there is enough to craft at all.
    pub(super) fn enough(&self, needs: Needs) -> bool {
        needs.are_met(self.before_attack.len(), self.benign.len())
    }
}
