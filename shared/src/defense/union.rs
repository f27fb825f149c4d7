//! The union of ERR and LFR.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DefenseError, Gate, Judging, LeaveOneOut, Stage, err, lfr};
use crate::rules::Byzantine;
use crate::unfit::Unfit;

/// Removes what ERR or LFR removes (Fang et al. 2020, section 5), between c and 2c updates.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Union {
    /// How updates are judged, and how many are removed.
    #[serde(flatten)]
    pub judging: Judging,
}

fn most_harmful(evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize> {
    &err::most_harmful(evidence, count) | &lfr::most_harmful(evidence, count)
}

impl Stage for Union {
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
        self.judging.count(byzantine).saturating_mul(2)
    }

    fn remove(&self, gate: &Gate<'_>) -> Result<BTreeSet<usize>, DefenseError> {
        self.judging.remove(gate, most_harmful)
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
        assert_eq!(most_harmful(&evidence, 1), [0, 1].into());
        assert_eq!(most_harmful(&evidence, 2), [0, 1, 4].into());
    }

    proptest! {
        #[test]
        fn a_row_is_removed_exactly_if_one_of_both_removes_it(
            without in vec((0..10_usize, 0.0..9.0_f64), 1..12),
            count in 0..14_usize,
        ) {
            let evidence = evidence((5, 4.5), &without);
            let removed = most_harmful(&evidence, count);
            let (err, lfr) =
                (err::most_harmful(&evidence, count), lfr::most_harmful(&evidence, count));
            for row in 0..without.len() {
                prop_assert_eq!(removed.contains(&row), err.contains(&row) || lfr.contains(&row));
            }
            prop_assert!((err.len()..=2 * count).contains(&removed.len()));
        }
    }
}
