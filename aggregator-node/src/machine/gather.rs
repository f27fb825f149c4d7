//! Gather: the aggregator calls the roll until every device is online, or time is up.
//!
//! A broker that is started again may have stored that every device has left: the last wills of all connections that it ended
//! itself. These devices are about to connect again, as this aggregator just did, each after a pause of its own. So the first
//! round after a lost connection waits for all devices that took part, for longer than such a pause lasts: otherwise it would
//! be opened without some of them.

use tracing::info;
use wire::{Millis, RollCall, RunStage};

use super::common::{Common, Present};
use super::{Action, Failure};

/// A call may be lost, and a device may come late: it is repeated this often.
const CALL_EVERY: Millis = Millis(2_000);

/// How long those are awaited who took part before the connection was lost: they try again at least every 15 s.
const RETURN: Millis = Millis(20_000);

/// A roll call under way.
pub(super) struct Gather {
    calls: u32,
    next_call: Millis,
    until: Millis,
}

impl Gather {
    pub(super) fn begin(common: &Common) -> Self {
        let patience = Millis(u64::from(common.scenario.timing.gather_seconds) * 1_000);
        Gather { calls: 0, next_call: common.now, until: common.now + patience }
    }

    /// As [`Gather::begin`], for devices that are about to come back.
    pub(super) fn for_return(common: &Common) -> Self {
        let gather = Gather::begin(common);
        Gather { until: gather.until.min(common.now + RETURN), ..gather }
    }

    pub(super) fn wake_at(&self) -> Millis {
        self.next_call.min(self.until)
    }

    /// Calls at the next opportunity: whoever was called may not have been listening.
    pub(super) fn call_now(&mut self, now: Millis) {
        self.next_call = now;
    }

    /// Who takes part in the next round, once those are here who are waited for, or time is up; the failure, if these are
    /// too few then. Until that, the roll is called.
    pub(super) fn advance(
        &mut self,
        common: &Common,
        out: &mut Vec<Action>,
    ) -> Option<Result<Present, Failure>> {
        let time_is_up = self.until <= common.now;
        let returned = common.roster.awaits_anybody() && common.roster.all_awaited_are_here();
        // Asked for every message: whom the next round would have is drawn only when it may be opened.
        if common.roster.is_complete() || returned || time_is_up {
            let present = common.present();
            let enough = common.enough(&present);
            if enough.is_ok() || time_is_up {
                let (online, devices) = (common.roster.online(), common.scenario.fleet.devices);
                info!("{online} of {devices} devices are online");
                return Some(enough.map(|_| present).map_err(|reason| {
                    let (seconds, reason) =
                        (common.scenario.timing.gather_seconds, too_few(&reason.to_string(), common));
                    Failure::TooFew { online, devices, seconds, reason }
                }));
            }
        }
        if self.next_call <= common.now {
            self.calls += 1;
            self.next_call = common.now + CALL_EVERY;
            out.push(common.announce(RunStage::Gathering(RollCall { call: self.calls })));
        }
        None
    }
}

/// Why there are too few devices: `reason`, and whose data do not fit.
fn too_few(reason: &str, common: &Common) -> String {
    let Some((device, why, others)) = common.roster.first_unfit() else { return reason.to_owned() };
    let others = if others > 0 { format!(", and of {others} more") } else { String::new() };
    format!("{reason}; the data of {device}{others} do not fit: {why}")
}
