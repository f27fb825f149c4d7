//! The union of ERR and LFR.

use std::collections::BTreeSet;

use super::{Defense, ErrorRateRejection, LeaveOneOut, LossRejection};

/// Union: removes what ERR or LFR removes (paper section 5), between c and 2c updates.
#[derive(Clone, Copy, Debug)]
pub struct Union;

impl Defense for Union {
    fn remove(&self, evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize> {
        &ErrorRateRejection.remove(evidence, count) | &LossRejection.remove(evidence, count)
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::evidence;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn it_removes_what_either_removes_and_nothing_else() {
        let evidence = evidence((4, 1.0), &[(5, 0.1), (1, 0.9), (3, 2.0), (9, 1.0), (2, 1.5)]);
        assert_eq!(Union.remove(&evidence, 1), [0, 1].into());
        assert_eq!(Union.remove(&evidence, 2), [0, 1, 4].into());
    }

    proptest! {
        #[test]
        fn a_row_is_removed_exactly_if_one_of_both_removes_it(
            without in vec((0..10_usize, 0.0..9.0_f64), 1..12),
            count in 0..14_usize,
        ) {
            let evidence = evidence((5, 4.5), &without);
            let removed = Union.remove(&evidence, count);
            let (err, lfr) =
                (ErrorRateRejection.remove(&evidence, count), LossRejection.remove(&evidence, count));
            for row in 0..without.len() {
                prop_assert_eq!(removed.contains(&row), err.contains(&row) || lfr.contains(&row));
            }
            prop_assert!((err.len()..=2 * count).contains(&removed.len()));
        }
    }
}
