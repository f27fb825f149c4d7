//! Loss function based rejection.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DefenseError, Gate, Judging, LeaveOneOut, Stage};
use crate::rules::Byzantine;
use crate::unfit::Unfit;

/// Removes the updates that raise the cross-entropy on the validation examples most: LFR (Fang et al. 2020, section 5).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LossRejection {
    /// How updates are judged, and how many are removed.
    #[serde(flatten)]
    pub judging: Judging,
}

pub(super) fn most_harmful(evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize> {
    evidence.most_harmful(count, |evaluation| evaluation.loss)
}

impl Stage for LossRejection {
    fn resolve(&mut self, byzantine: usize) {
        self.judging.resolve(byzantine);
    }

    fn check(&self) -> Result<(), Unfit> {
        self.judging.check()
    }

    fn validation_examples(&self) -> usize {
        self.judging.validation_examples()
    }

    fn removes_at_most(&self, byzantine: Byzantine) -> usize {
        self.judging.count(byzantine)
    }

    fn remove(&self, gate: &Gate<'_>) -> Result<BTreeSet<usize>, DefenseError> {
        self.judging.remove(gate, most_harmful)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::evidence;
    use super::*;

    #[test]
    fn it_goes_by_loss_and_removes_the_most_harmful_not_the_most_helpful() {
        // (errors, loss) of the aggregate with all updates, and without each.
        let evidence = evidence((4, 1.0), &[(5, 0.1), (1, 0.9), (3, 2.0), (9, 1.0), (2, 1.5)]);
        assert_eq!(most_harmful(&evidence, 1), [0].into());
        assert_eq!(most_harmful(&evidence, 3), [0, 1, 3].into());
    }
}
