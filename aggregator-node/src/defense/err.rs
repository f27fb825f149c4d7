//! Error rate based rejection.

use std::collections::BTreeSet;

use super::{Defense, LeaveOneOut};

/// ERR: removes the updates that raise the error rate on the validation examples most (paper section 5).
///
/// Of few examples the error rate is coarse, and ties are the rule: see [`LeaveOneOut::most_harmful`].
#[derive(Clone, Copy, Debug)]
pub struct ErrorRateRejection;

impl Defense for ErrorRateRejection {
    fn remove(&self, evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize> {
        evidence.most_harmful(count, |evaluation| evaluation.error_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::evidence;
    use super::*;

    #[test]
    fn it_goes_by_errors_and_removes_the_most_harmful_not_the_most_helpful() {
        // (errors, loss) of the aggregate with all updates, and without each.
        let evidence = evidence((4, 1.0), &[(5, 0.1), (1, 0.9), (3, 2.0), (9, 1.0), (2, 1.5)]);
        assert_eq!(ErrorRateRejection.remove(&evidence, 2), [1, 4].into());
        assert_eq!(ErrorRateRejection.remove(&evidence, 3), [1, 2, 4].into());
    }
}
