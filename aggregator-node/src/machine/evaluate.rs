//! Evaluate: how good the global model is, every so many rounds and after the last.

use learning::data::ShardEntry;
use learning::evaluation::ClassEvaluation;
use record::DeviceRecord;
use wire::Millis;
use wire::identity::DeviceId;

use super::{Action, Failure, Machine, Phase};
use crate::worker::Job;

/// A round that takes no more updates.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    pub(super) selected: u32,
    /// Whose updates were accepted, in ascending order.
    pub(super) accepted: Vec<DeviceId>,
    pub(super) absent: Vec<DeviceId>,
    /// How many of those who were drawn have shown themselves Byzantine and have no update.
    pub(super) known_byzantine: usize,
    /// How many Byzantine devices the rule assumed, if these were not the scenario's.
    pub(super) byzantine: Option<u32>,
    /// Whose updates the defense removed.
    pub(super) removed: Vec<DeviceId>,
    /// Whose updates have a part in the aggregate, if these are not all that were left.
    pub(super) used: Vec<DeviceId>,
    /// Whether there is a new global model.
    pub(super) aggregated: bool,
    pub(super) train_loss: Option<f32>,
    pub(super) losses_ignored: u32,
    /// What devices told of themselves; empty if none told anything.
    pub(super) devices: Vec<DeviceRecord>,
    /// What those trained on whose first recorded update is one of this round.
    pub(super) shards: Vec<ShardEntry>,
}

impl Machine {
    /// Leaves the phase Aggregate.
    pub(super) fn evaluate(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Phase::Aggregate(closed) = &self.phase else { return };
        let closed = closed.clone();
        let round = self.round;
        if self.scenario.evaluates(round) {
            out.push(Action::Compute(Job::Evaluate { round, global: self.global.clone() }));
            self.phase = Phase::Evaluate(closed);
        } else {
            self.conclude(now, closed, None, out);
        }
    }

    pub(super) fn evaluated(
        &mut self,
        now: Millis,
        round: u32,
        result: Result<ClassEvaluation, String>,
        out: &mut Vec<Action>,
    ) {
        let Phase::Evaluate(closed) = &self.phase else { return };
        if round != self.round {
            return;
        }
        match result {
            Ok(evaluation) => self.conclude(now, closed.clone(), Some(evaluation), out),
            Err(what) => self.finish(Err(Failure::Evaluation { round, what }), out),
        }
    }
}
