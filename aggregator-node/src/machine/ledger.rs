//! What was refused, of whom and why.

use std::collections::{BTreeMap, BTreeSet};

use shared::identity::DeviceId;
use shared::wire::{Refusal, TransferId};
use tracing::warn;

use crate::record::RefusedDevice;

/// Transfers remembered so that each is counted once, however many pieces it comes in.
const MAX_REMEMBERED: usize = 4096;

/// The refusals since the last record.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    counts: BTreeMap<Refusal, u32>,
    named: BTreeSet<(Option<DeviceId>, Refusal)>,
    seen: BTreeSet<(TransferId, Refusal)>,
}

impl Ledger {
    /// Enters a refusal. `device` is the one whose topic it came on, if that is a device of the fleet; a
    /// transfer counts once for each reason.
    pub(super) fn refuse(
        &mut self,
        device: Option<DeviceId>,
        id: Option<TransferId>,
        reason: Refusal,
        detail: &str,
    ) {
        if let Some(id) = id {
            if self.seen.len() >= MAX_REMEMBERED {
                self.seen.clear();
            }
            if !self.seen.insert((id, reason)) {
                return;
            }
        }
        *self.counts.entry(reason).or_default() += 1;
        // Logged once a round for each device and reason: a hostile device must not fill the log.
        if self.named.insert((device, reason)) {
            let who = device.map_or_else(|| "an unknown device".to_owned(), |device| device.to_string());
            warn!("refused from {who}: {reason:?}: {detail}");
        }
    }

    /// The refusals, for the record; the ledger starts over.
    pub(super) fn close(&mut self) -> (BTreeMap<Refusal, u32>, Vec<RefusedDevice>) {
        let Ledger { counts, named, .. } = std::mem::take(self);
        (counts, named.into_iter().map(|(device, reason)| RefusedDevice { device, reason }).collect())
    }
}
