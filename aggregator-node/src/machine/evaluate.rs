//! Evaluate: how good the global model is, every so many rounds and after the last.

use learning::evaluation::ClassEvaluation;

use super::common::Common;
use super::conclude::Closed;
use super::{Action, Failure};
use crate::worker::Job;

/// A round whose global model is being evaluated.
pub(super) struct Evaluate {
    closed: Closed,
}

impl Evaluate {
    pub(super) fn begin(common: &Common, closed: Closed, out: &mut Vec<Action>) -> Self {
        out.push(Action::Compute(Job::Evaluate { round: common.round, global: common.global.clone() }));
        Evaluate { closed }
    }

    pub(super) fn evaluated(
        mut self,
        round: u32,
        result: Result<ClassEvaluation, String>,
    ) -> Result<Closed, Failure> {
        let evaluation = result.map_err(|what| Failure::Evaluation { round, what })?;
        self.closed.record.enter(evaluation);
        Ok(self.closed)
    }
}
