//! What a defense judges updates by: the aggregate with all updates, and without each.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use learning::evaluation::Evaluation;

/// A place among equals: whether its device is favoured, and a draw.
pub type TieBreaker = (bool, u64);

/// How the aggregate of a round's m updates does on the validation examples, with all of them and without each.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaveOneOut {
    /// With all updates (the paper's A).
    pub with_all: Evaluation,
    /// Without the update of each row (the paper's B), m of them.
    pub without: Vec<Evaluation>,
    /// In which order equally harmful updates are removed, smallest first; one value per row.
    pub tie_breakers: Vec<TieBreaker>,
}

impl LeaveOneOut {
    /// The `count` rows of largest impact, or all if there are fewer; the impact of a row is `measure` with all
    /// updates minus `measure` without the row's.
    ///
    /// An impact that is NaN, because one of the two measures is or both are infinite, counts as +infinity: an
    /// update is not to be trusted if the aggregate breaks down with it or depends on it not to. Among equal
    /// impacts, such as these, the row goes first without which the measure is least; NaN counts as the largest.
    ///
    /// What is still tied goes by [`tie_breakers`](Self::tie_breakers). The lowest row must not always lose: devices
    /// of one label group are neighbours, and where many impacts are 0, as the error rate's often and Krum's nearly
    /// all are, their labels would be missing in every round.
    pub fn most_harmful(&self, count: usize, measure: impl Fn(&Evaluation) -> f64) -> BTreeSet<usize> {
        let with_all = measure(&self.with_all);
        let without: Vec<f64> = self.without.iter().map(measure).collect();
        let impact = |row: usize| nan_as_infinity(with_all - without[row]);
        let by_harm = |&a: &usize, &b: &usize| -> Ordering {
            impact(b)
                .total_cmp(&impact(a))
                .then_with(|| nan_as_infinity(without[a]).total_cmp(&nan_as_infinity(without[b])))
                .then_with(|| self.tie_breakers.get(a).cmp(&self.tie_breakers.get(b)))
        };
        let mut rows: Vec<usize> = (0..without.len()).collect();
        rows.sort_by(by_harm);
        rows.into_iter().take(count).collect()
    }
}

fn nan_as_infinity(value: f64) -> f64 {
    if value.is_nan() { f64::INFINITY } else { value }
}

#[cfg(test)]
mod tests {
    use super::super::testing::evidence;

    #[test]
    fn ties_go_by_their_breakers_not_by_the_row() {
        let mut tied = evidence((3, 1.0), &[(3, 1.0); 4]);
        tied.tie_breakers = [7, 2, 9, 4].map(|draw| (draw == 2, draw)).to_vec();
        assert_eq!(tied.most_harmful(2, |evaluation| evaluation.loss), [0, 3].into(), "row 1 is favoured");
        assert_eq!(tied.most_harmful(9, |evaluation| evaluation.loss), [0, 1, 2, 3].into());
        assert_eq!(tied.most_harmful(0, |evaluation| evaluation.loss), [].into());
    }

    #[test]
    fn an_impact_that_is_nan_comes_before_every_finite_one() {
        let found = evidence((3, 1.0), &[(3, 0.1), (3, f64::NAN), (3, f64::INFINITY), (3, 2.0)]);
        let order = |count| found.most_harmful(count, |evaluation| evaluation.loss);
        assert_eq!(order(1), [1].into());
        assert_eq!(order(2), [0, 1].into());
        // Without row 2 the loss is infinite: nothing helps as much.
        assert_eq!(order(3), [0, 1, 3].into());
    }

    #[test]
    fn where_all_updates_together_are_broken_the_one_that_breaks_them_comes_first() {
        for broken in [f64::NAN, f64::INFINITY] {
            let found = evidence((3, broken), &[(3, broken), (3, f64::NAN), (3, 2.0), (3, f64::INFINITY)]);
            assert_eq!(found.most_harmful(1, |evaluation| evaluation.loss), [2].into());
        }
    }
}
