//! Gather: the roll is called until every device is here, or time is up.

use shared::scenario::Scenario;
use shared::wire::{Millis, RollCall, Stage};
use tracing::info;

use super::{Action, Failure, Machine, Phase};

/// A call may be lost, and a device may come late: it is repeated this often.
const CALL_EVERY: Millis = Millis(2_000);

/// A roll call under way.
#[derive(Debug)]
pub(super) struct Gather {
    calls: u32,
    next_call: Millis,
    until: Millis,
}

impl Gather {
    pub(super) fn begin(now: Millis, scenario: &Scenario) -> Self {
        let patience = Millis(u64::from(scenario.timing.gather_seconds) * 1_000);
        Gather { calls: 0, next_call: now, until: now + patience }
    }

    pub(super) fn wake_at(&self) -> Millis {
        self.next_call.min(self.until)
    }

    /// Calls at the next opportunity: whoever was called may not have been listening.
    pub(super) fn call_now(&mut self, now: Millis) {
        self.next_call = now;
    }

    fn stage(&self) -> Stage {
        Stage::Gathering(RollCall { call: self.calls })
    }
}

impl Machine {
    pub(super) fn gather(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Phase::Gather(gather) = &mut self.phase else { return };
        let time_is_up = gather.until <= now;
        if !self.roster.is_complete() && !time_is_up {
            if gather.next_call <= now {
                gather.calls += 1;
                gather.next_call = now + CALL_EVERY;
                let stage = gather.stage();
                out.push(self.announce(stage));
            }
            return;
        }
        let (online, devices) = (self.roster.online(), self.scenario.fleet.devices);
        info!("{online} of {devices} devices are online");
        let present = self.roster.present(&self.scenario.selection(self.round + 1));
        match self.scenario.check_updates(present.len()) {
            Ok(()) => self.open_round(now, present, out),
            Err(reason) => self.finish(
                Err(Failure::TooFew {
                    online,
                    devices,
                    seconds: self.scenario.timing.gather_seconds,
                    reason: reason.to_string(),
                }),
                out,
            ),
        }
    }
}
