//! Aggregate: the rule makes the new global model from what came in.

use shared::wire::Millis;
use tracing::warn;

use super::evaluate::Closed;
use super::{Action, Machine, Phase};
use crate::worker::Job;

impl Machine {
    /// The round takes no more updates.
    pub(super) fn close_round(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Phase::Collect(collect) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let (call, updates, absent) = collect.close();
        let round = call.round;
        if !absent.is_empty() {
            let names: Vec<_> = absent.iter().map(ToString::to_string).collect();
            warn!("round {round}: nothing in time from {}", names.join(", "));
        }
        let losses: Vec<f64> =
            updates.iter().map(|(_, update)| f64::from(update.loss)).filter(|l| l.is_finite()).collect();
        // In 64 bits, where no sum of what devices claim overflows.
        let mean = || (losses.iter().sum::<f64>() / losses.len() as f64) as f32;
        let train_loss = (!losses.is_empty()).then(mean);
        let closed = Closed {
            selected: call.selected.len() as u32,
            accepted: updates.len() as u32,
            absent,
            aggregated: false,
            train_loss,
        };
        match self.rule.check(updates.len()) {
            Ok(()) => {
                let weights = updates.iter().map(|(device, _)| self.roster.examples(*device)).collect();
                let updates = updates.into_iter().map(|(_, update)| update.parameters).collect();
                out.push(Action::Compute(Job::Aggregate { round, updates, weights }));
                self.phase = Phase::Aggregate(closed);
            }
            Err(reason) => {
                warn!("round {round}: the global model stays as it is: {reason}");
                self.phase = Phase::Aggregate(closed);
                self.evaluate(now, out);
            }
        }
    }

    pub(super) fn aggregated(
        &mut self,
        now: Millis,
        round: u32,
        result: Result<Vec<f32>, String>,
        out: &mut Vec<Action>,
    ) {
        let Phase::Aggregate(closed) = &mut self.phase else { return };
        if round != self.round {
            return;
        }
        match result {
            Ok(global) if global.iter().all(|value| value.is_finite()) => {
                closed.aggregated = true;
                self.global = global.into();
            }
            Ok(_) => warn!("round {round}: the aggregate is not finite, the global model stays as it is"),
            Err(what) => warn!("round {round}: the global model stays as it is: {what}"),
        }
        self.evaluate(now, out);
    }
}
