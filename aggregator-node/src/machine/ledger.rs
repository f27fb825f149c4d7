//! What was refused, from which device and why.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use record::RefusedDevice;
use tracing::warn;
use wire::identity::DeviceId;
use wire::{Refusal, TransferId};

/// Transfers of each device that are remembered so that each is counted once, however many pieces it comes in.
const MAX_REMEMBERED: usize = 64;

/// The refusals since the last record, each transfer counted once.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    counts: BTreeMap<Refusal, u32>,
    named: BTreeSet<(Option<DeviceId>, Refusal)>,
    /// Kept from record to record: the pieces of a late update may come before and after one.
    seen: BTreeMap<Option<DeviceId>, VecDeque<(TransferId, Refusal)>>,
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
            let seen = self.seen.entry(device).or_default();
            if seen.contains(&(id, reason)) {
                return;
            }
            if seen.len() >= MAX_REMEMBERED {
                seen.pop_front();
            }
            seen.push_back((id, reason));
        }
        let count = self.counts.entry(reason).or_default();
        *count = count.saturating_add(1);
        // Logged once a round for each device and reason: a hostile device must not fill the log.
        if self.named.insert((device, reason)) {
            let who = device.map_or_else(|| "an unknown device".to_owned(), |device| device.to_string());
            warn!("refused from {who}: {reason:?}: {detail}");
        }
    }

    /// The refusals, for the record; counting starts over.
    pub(super) fn close(&mut self) -> (BTreeMap<Refusal, u32>, Vec<RefusedDevice>) {
        let (counts, named) = (std::mem::take(&mut self.counts), std::mem::take(&mut self.named));
        (counts, named.into_iter().map(|(device, reason)| RefusedDevice { device, reason }).collect())
    }
}
