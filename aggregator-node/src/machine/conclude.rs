//! The end of a round, and of a run.

use learning::evaluation::ClassEvaluation;
use record::RoundRecord;
use wire::{Millis, Stage};

use super::evaluate::Closed;
use super::{Action, Failure, Machine, Phase};

/// How long devices may take to leave once the run is over.
const PARTING: Millis = Millis(5_000);

impl Machine {
    /// Records the round, and goes on to the next or ends the run.
    pub(super) fn conclude(
        &mut self,
        now: Millis,
        closed: Closed,
        evaluation: Option<ClassEvaluation>,
        out: &mut Vec<Action>,
    ) {
        closed.accepted.iter().for_each(|device| self.roster.was_accepted(*device));
        let (refused, refused_devices) = self.ledger.close();
        let (bytes_up, bytes_down) = self.traffic.close();
        let mut record = RoundRecord {
            round: self.round,
            selected: closed.selected,
            accepted: closed.accepted.len() as u32,
            absent: closed.absent,
            refused,
            refused_devices,
            muted: self.budgets.close(),
            removed: closed.removed,
            used: closed.used,
            aggregated: closed.aggregated,
            byzantine: closed.byzantine,
            train_loss: closed.train_loss,
            losses_ignored: closed.losses_ignored,
            bytes_up,
            bytes_down,
            devices: closed.devices,
            shards: closed.shards,
            ..RoundRecord::default()
        };
        if let Some(evaluation) = evaluation {
            record.enter(evaluation);
        }
        out.push(Action::Record { record, global: self.global.clone(), remembered: self.remembered.clone() });
        if self.round == self.scenario.rounds {
            out.push(self.announce(Stage::Finished));
            self.phase = Phase::Part(now + PARTING);
        } else {
            self.next_round(now, out);
        }
    }

    /// The devices leave; the embedded broker ends with this process, and must not do so before they have heard.
    pub(super) fn part(&mut self, now: Millis, until: Millis, out: &mut Vec<Action>) {
        // Who floods is not heard when it leaves.
        let unheard = self.budgets.muted().filter(|device| self.roster.is_online(*device)).count();
        if self.roster.online() == unheard || until <= now {
            self.finish(Ok(()), out);
        }
    }

    pub(super) fn finish(&mut self, result: Result<(), Failure>, out: &mut Vec<Action>) {
        self.phase = Phase::Over;
        out.push(Action::Finish(result));
    }
}
