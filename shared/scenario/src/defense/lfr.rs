//! Loss function based rejection.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judging::ByLeavingOut;
use super::{Judging, LeaveOneOut};

/// Removes the updates that raise the cross-entropy on the validation examples most: LFR (Fang et al. 2020, section 5).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LossRejection {
    /// How updates are judged, and how many are removed.
    #[serde(flatten)]
    pub judging: Judging,
}

impl ByLeavingOut for LossRejection {
    fn judging(&self) -> &Judging {
        &self.judging
    }

    fn judging_mut(&mut self) -> &mut Judging {
        &mut self.judging
    }

    fn most_harmful(evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize> {
        evidence.most_harmful(count, |evaluation| evaluation.loss)
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
        assert_eq!(LossRejection::most_harmful(&evidence, 1), [0].into());
        assert_eq!(LossRejection::most_harmful(&evidence, 3), [0, 1, 3].into());
    }
}
