//! The union of ERR and LFR.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judging::ByLeavingOut;
use super::{ErrorRateRejection, Judging, LeaveOneOut, LossRejection};

/// Removes what ERR or LFR removes (Fang et al. 2020, section 5), between c and 2c updates.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Union {
    /// How updates are judged, and how many are removed.
    #[serde(flatten)]
    pub judging: Judging,
}

impl ByLeavingOut for Union {
    const CRITERIA: usize = 2;

    fn judging(&self) -> &Judging {
        &self.judging
    }

    fn judging_mut(&mut self) -> &mut Judging {
        &mut self.judging
    }

    fn most_harmful(evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize> {
        &ErrorRateRejection::most_harmful(evidence, count) | &LossRejection::most_harmful(evidence, count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::evidence;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn it_removes_what_either_removes_and_nothing_else() {
        let evidence = evidence((4, 1.0), &[(5, 0.1), (1, 0.9), (3, 2.0), (9, 1.0), (2, 1.5)]);
        assert_eq!(Union::most_harmful(&evidence, 1), [0, 1].into());
        assert_eq!(Union::most_harmful(&evidence, 2), [0, 1, 4].into());
    }

    proptest! {
        #[test]
        fn a_row_is_removed_exactly_if_one_of_both_removes_it(
            without in vec((0..10_usize, 0.0..9.0_f64), 1..12),
            count in 0..14_usize,
        ) {
            let evidence = evidence((5, 4.5), &without);
            let removed = Union::most_harmful(&evidence, count);
            let (err, lfr) =
                (ErrorRateRejection::most_harmful(&evidence, count), LossRejection::most_harmful(&evidence, count));
            for row in 0..without.len() {
                prop_assert_eq!(removed.contains(&row), err.contains(&row) || lfr.contains(&row));
            }
            prop_assert!((err.len()..=2 * count).contains(&removed.len()));
        }
    }
}
