//! Loss function based rejection.

use std::collections::BTreeSet;

use super::{Defense, LeaveOneOut};

/// LFR: removes the updates that raise the cross-entropy on the validation examples most (paper section 5).
#[derive(Clone, Copy, Debug)]
pub struct LossRejection;

impl Defense for LossRejection {
    fn remove(&self, evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize> {
        evidence.most_harmful(count, |evaluation| evaluation.loss)
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::evidence;
    use super::*;

    #[test]
    fn it_goes_by_loss_and_removes_the_most_harmful_not_the_most_helpful() {
        // (errors, loss) of the aggregate with all updates, and without each.
        let evidence = evidence((4, 1.0), &[(5, 0.1), (1, 0.9), (3, 2.0), (9, 1.0), (2, 1.5)]);
        assert_eq!(LossRejection.remove(&evidence, 1), [0].into());
        assert_eq!(LossRejection.remove(&evidence, 3), [0, 1, 3].into());
    }
}
