//! Part: the run is over; the devices hear so and leave.

use wire::{Millis, RunStage};

use super::Action;
use super::common::Common;

/// How long devices may take to leave once the run is over.
const PARTING: Millis = Millis(5_000);

/// Devices are about to leave: the embedded broker ends with this process, and must not do so before they have heard.
pub(super) struct Part {
    until: Millis,
}

impl Part {
    pub(super) fn begin(common: &Common, out: &mut Vec<Action>) -> Self {
        Part::announce(common, out);
        Part { until: common.now + PARTING }
    }

    pub(super) fn announce(common: &Common, out: &mut Vec<Action>) {
        out.push(common.announce(RunStage::Finished));
    }

    pub(super) fn wake_at(&self) -> Millis {
        self.until
    }

    /// Whether all have left, or time is up.
    pub(super) fn is_over(&self, common: &Common) -> bool {
        // Who floods is not heard when it leaves.
        let unheard = common.budgets.muted().filter(|device| common.roster.is_online(*device)).count();
        common.roster.online() == unheard || self.until <= common.now
    }
}
