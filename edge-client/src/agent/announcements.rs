//! The aggregator's announcements, and whether they concern this device.

use tracing::info;
use wire::identity::RunId;
use wire::{Announcement, Millis, PROTOCOL_VERSION, RoundCall, RunStage};

use super::{Action, Agent, Farewell};

impl Agent {
    pub(super) fn announcement(
        &mut self,
        now: Millis,
        announcement: &Announcement,
        retained: bool,
        out: &mut Vec<Action>,
    ) {
        let &Announcement { protocol, run, term, scenario, ref stage } = announcement;
        if protocol != PROTOCOL_VERSION {
            return self.trouble(&format!(
                "the aggregator speaks protocol {protocol}, this device {PROTOCOL_VERSION}: update one"
            ));
        }
        if scenario != self.scenario {
            // Once a run, not once a round: a fleet's log must not fill up with it.
            if self.foreign.replace(run) != Some(run) {
                self.trouble(&format!(
                    "run {run} is of another scenario than this device's: waiting for one of its own; give both ends \
                     the same file ({scenario}, {})",
                    self.scenario
                ));
            }
            return;
        }
        let known = self.run == Some(run);
        if known && term < self.term {
            return; // overtaken by the word of a later start of the aggregator
        }
        match stage {
            RunStage::Gathering(_) => {
                self.follow(run, term);
                out.push(Action::Publish(self.presence.online(now)));
                self.listen_if_leading(out);
            }
            RunStage::Round(call) => {
                self.follow(run, term);
                self.speak_up_if_overlooked(now, call, out);
                self.round_called(now, call, out);
            }
            RunStage::Finished if known || (self.run.is_none() && !retained) => {
                out.push(Action::Publish(self.presence.offline()));
                out.push(Action::Leave(Farewell::Finished));
            }
            // The end of a run that this process had no part in. It may lie at the broker since long ago.
            RunStage::Finished => {}
        }
    }

    /// Says once more that this device is here, if a round that it is drawn for is called without it: its status was lost
    /// on the way, or the aggregator has given it up.
    fn speak_up_if_overlooked(&mut self, now: Millis, call: &RoundCall, out: &mut Vec<Action>) {
        let me = self.me.device;
        let is_missing = !call.selected.contains(&me) && self.presence.may_repeat_itself(now);
        if is_missing && self.plan.selection(call.round).contains(&me) {
            out.push(Action::Publish(self.presence.online(now)));
        }
    }

    /// Takes part in `run` from now on.
    fn follow(&mut self, run: RunId, term: u64) {
        if self.run != Some(run) {
            info!("run {run} begins");
            self.forget_run();
            self.presence.begin_run(run);
            self.run = Some(run);
        }
        self.term = term;
    }

    fn forget_run(&mut self) {
        self.forget_rounds();
        self.model = None;
        self.round = None;
        self.replayed = None;
        self.term = 0;
    }

    /// Forgets what came and went in any round.
    pub(super) fn forget_rounds(&mut self) {
        self.outbox.clear();
        self.overdue = None;
        self.incoming.forget_rounds_before(u32::MAX);
        if let Some(collusion) = &mut self.collusion {
            collusion.forget_rounds();
        }
    }
}
