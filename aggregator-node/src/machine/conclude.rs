//! The end of a round, and of a run.

use shared::evaluation::Evaluation;
use shared::wire::{Millis, Stage};

use super::evaluate::Closed;
use super::{Action, Failure, Machine, Phase};
use crate::record::RoundRecord;

impl Machine {
    /// Records the round, and goes on to the next or ends the run.
    pub(super) fn conclude(
        &mut self,
        now: Millis,
        closed: Closed,
        evaluation: Option<Evaluation>,
        out: &mut Vec<Action>,
    ) {
        let (refused, refused_devices) = self.ledger.close();
        let traffic = std::mem::take(&mut self.traffic);
        let record = RoundRecord {
            round: self.round,
            selected: closed.selected,
            accepted: closed.accepted,
            absent: closed.absent,
            refused,
            refused_devices,
            aggregated: closed.aggregated,
            train_loss: closed.train_loss,
            test_error: evaluation.as_ref().map(|evaluation| evaluation.error_rate),
            test_loss: evaluation.as_ref().map(|evaluation| evaluation.loss),
            bytes_up: traffic.up,
            bytes_down: traffic.down,
            seconds: 0.0,
        };
        out.push(Action::Record { record, global: self.global.clone() });
        if self.round == self.scenario.rounds {
            self.finish(Ok(()), out);
        } else {
            self.next_round(now, out);
        }
    }

    pub(super) fn finish(&mut self, result: Result<(), Failure>, out: &mut Vec<Action>) {
        self.phase = Phase::Over;
        if result.is_ok() {
            out.push(self.announce(Stage::Finished));
        }
        out.push(Action::Finish(result));
    }
}
