//! Error rate based rejection.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judging::ByLeavingOut;
use super::{Judging, LeaveOneOut};

/// Removes the updates that raise the error rate on the validation examples most: ERR (Fang et al. 2020, section 5).
///
/// Of few examples the error rate is coarse, and ties are the rule: see [`LeaveOneOut::most_harmful`].
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ErrorRateRejection {
    /// How updates are judged, and how many are removed.
    #[serde(flatten)]
    pub judging: Judging,
}

impl ByLeavingOut for ErrorRateRejection {
    fn judging(&self) -> &Judging {
        &self.judging
    }

    fn judging_mut(&mut self) -> &mut Judging {
        &mut self.judging
    }

    fn most_harmful(evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize> {
        evidence.most_harmful(count, |evaluation| evaluation.error_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::evidence;
    use super::*;

    #[test]
    fn it_goes_by_errors_and_removes_the_most_harmful_not_the_most_helpful() {
        // (errors, loss) of the aggregate with all updates, and without each.
        let evidence = evidence((4, 1.0), &[(5, 0.1), (1, 0.9), (3, 2.0), (9, 1.0), (2, 1.5)]);
        assert_eq!(ErrorRateRejection::most_harmful(&evidence, 2), [1, 4].into());
        assert_eq!(ErrorRateRejection::most_harmful(&evidence, 3), [1, 2, 4].into());
    }
}
