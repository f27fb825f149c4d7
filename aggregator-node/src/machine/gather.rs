//! Gather: the roll is called until every device is here, or time is up.
//!
//! A broker that is started again may have written down that everybody has left: the last wills of all connections that
//! it ended itself. Whoever was here is about to connect again, as this aggregator just did, each after a pause of its
//! own. So the first round that is opened after a connection was lost waits for all who took part, for longer than such
//! a pause lasts: otherwise it would be opened without some of them.
//!
//! A broker that ends may deliver the last wills one by one before it hangs up. A round that is opened in between is
//! opened without some of the fleet, and nobody hears of it: it is called anew when the connection is back.

use scenario::Scenario;
use tracing::info;
use wire::identity::DeviceId;
use wire::{Millis, RollCall, Stage};

use super::{Action, Failure, Machine, Phase};

/// A call may be lost, and a device may come late: it is repeated this often.
const CALL_EVERY: Millis = Millis(2_000);

/// How long those are awaited who took part before the connection was lost: they try again at least every 15 s.
const RETURN: Millis = Millis(20_000);

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

    /// As [`Gather::begin`], for devices that are about to come back.
    pub(super) fn for_return(now: Millis, scenario: &Scenario) -> Self {
        let gather = Gather::begin(now, scenario);
        Gather { until: gather.until.min(now + RETURN), ..gather }
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
    /// The connection is there, perhaps again.
    pub(super) fn await_all_who_took_part(&mut self, now: Millis) {
        if self.round == self.finished_before {
            return; // nobody has yet: the whole fleet is waited for
        }
        // The broker may have announced their leaving before it ended.
        self.roster.wait_for_all_of_late();
        let Phase::Collect(collect) = &self.phase else { return };
        self.roster.wait_for(collect.call().selected.iter().copied());
        let missed_out = self.roster.left_before_the_round() & &self.scenario.selection(self.round);
        if collect.is_fresh() && !missed_out.is_empty() {
            info!("round {} is called anew: the broker ended as it was opened", self.round);
            self.roster.wait_for(missed_out);
            self.round -= 1;
            self.phase = Phase::Gather(Gather::for_return(now, &self.scenario));
        }
    }

    pub(super) fn gather(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Phase::Gather(gather) = &self.phase else { return };
        let time_is_up = gather.until <= now;
        let returned = self.roster.awaits_anybody() && self.roster.all_awaited_are_here();
        // Asked for every message: whom the next round would have is drawn only when it may be opened.
        if self.roster.is_complete() || returned || time_is_up {
            let (present, known) = self.present();
            let enough = self.scenario.fewer_byzantine(present.len(), known);
            if enough.is_ok() || time_is_up {
                let (online, devices) = (self.roster.online(), self.scenario.fleet.devices);
                info!("{online} of {devices} devices are online");
                return match enough {
                    Ok(_) => self.open_round(now, present, known, out),
                    Err(reason) => {
                        let (seconds, reason) = (self.scenario.timing.gather_seconds, reason.to_string());
                        self.finish(Err(Failure::TooFew { online, devices, seconds, reason }), out);
                    }
                };
            }
        }
        let Phase::Gather(gather) = &mut self.phase else { return };
        if gather.next_call <= now {
            gather.calls += 1;
            gather.next_call = now + CALL_EVERY;
            let stage = gather.stage();
            out.push(self.announce(stage));
        }
    }

    /// Who of the next round's selection is here and may take part, and how many others of it have shown themselves
    /// Byzantine: they flood, or were refused again and again.
    pub(super) fn present(&self) -> (Vec<DeviceId>, usize) {
        let selection = self.scenario.selection(self.round + 1);
        let mut known = self.roster.refused_of_late(&selection);
        let mut present = self.roster.present(&selection);
        present.retain(|&device| {
            let muted = self.budgets.is_muted(Some(device));
            known += usize::from(muted);
            !muted
        });
        (present, known)
    }
}
