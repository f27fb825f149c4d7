//! The end of a round: its record.

use record::RoundRecord;
use tracing::warn;
use wire::identity::DeviceId;

use super::Action;
use super::common::Common;

/// A round that takes no more updates, as one phase hands it to the next.
pub(super) struct Closed {
    /// What is known of it so far; the rest is entered as it is concluded.
    pub(super) record: RoundRecord,
    /// Whose updates were accepted, in ascending order.
    pub(super) accepted: Vec<DeviceId>,
    /// How many of those who were drawn have shown themselves Byzantine and have no update.
    pub(super) known_byzantine: usize,
}

impl Closed {
    /// Whether what came in is enough for the rule.
    pub(super) fn is_enough(&self, common: &Common) -> bool {
        let enough = common.scenario.fewer_byzantine(self.accepted.len(), self.known_byzantine);
        if let Err(reason) = &enough {
            warn!("round {}: the global model stays as it is: {reason}", common.round);
        }
        enough.is_ok()
    }

    /// Has the round recorded.
    pub(super) fn conclude(self, common: &mut Common, out: &mut Vec<Action>) {
        let Closed { mut record, accepted, .. } = self;
        accepted.iter().for_each(|device| common.roster.was_accepted(*device));
        record.accepted = accepted.len() as u32;
        (record.refused, record.refused_devices) = common.ledger.close();
        (record.bytes_up, record.bytes_down) = common.traffic.close();
        record.muted = common.budgets.close();
        record.unfit = common.roster.newly_unfit();
        let (global, remembered) = (common.global.clone(), common.remembered.clone());
        out.push(Action::Record { record, global, remembered });
    }
}
