//! What a defense goes by: the aggregate with all updates, and without each.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use shared::evaluation::Evaluation;
use shared::rules::{Rule, Updates, different};

use super::DefenseError;
use crate::evaluator::Evaluator;

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
    /// Evaluates the aggregate by `rule` and each of [`Rule::leave_one_out`], which are left in `aggregates`.
    ///
    /// The result does not depend on the number of threads. `tie_breakers` are m values.
    ///
    /// # Errors
    /// If the rule refuses m - 1 updates, or the updates are not those of the model that `validation` evaluates.
    pub fn of(
        updates: &Updates<'_>,
        rule: &dyn Rule,
        validation: &Evaluator,
        tie_breakers: Vec<TieBreaker>,
        aggregates: &mut Vec<Vec<f32>>,
    ) -> Result<Self, DefenseError> {
        let with_all = rule.aggregate(updates)?;
        rule.leave_one_out(updates, aggregates)?;
        // A rule that selects has few different ones, which are evaluated once each.
        let all: Vec<&[f32]> = [&with_all].into_iter().chain(aggregates.iter()).map(Vec::as_slice).collect();
        let (firsts, places) = different(&all);
        let evaluations = validation.evaluate(&firsts.iter().map(|&first| all[first]).collect::<Vec<_>>())?;
        let without = places[1..].iter().map(|&place| evaluations[place]).collect();
        let with_all = evaluations[0];
        Ok(LeaveOneOut { with_all, without, tie_breakers })
    }

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
    use shared::rules::{Krum, Mean};

    use super::super::examples::{evidence, rows_of_bias, validation};
    use super::*;

    fn leave_one_out(rows: &[Vec<f32>], rule: &dyn Rule) -> Result<LeaveOneOut, DefenseError> {
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        LeaveOneOut::of(
            &Updates::new(&rows, None).unwrap(),
            rule,
            &validation(),
            vec![(false, 0); rows.len()],
            &mut Vec::new(),
        )
    }

    #[test]
    fn a_worked_example_by_hand() {
        // The mean of the biases 3, 1 and -10 is -2; without each in turn it is -4.5, -3.5 and 2. Where it is
        // negative, both examples of class 0 are wrong, else the one of class 1 is.
        let found = leave_one_out(&rows_of_bias(&[3.0, 1.0, -10.0]), &Mean).unwrap();
        assert_eq!(found.with_all.errors, 2);
        assert_eq!(found.without.iter().map(|without| without.errors).collect::<Vec<_>>(), [2, 2, 1]);
        // (2 ln(1 + exp(-bias)) + ln(1 + exp(bias))) / 3
        assert!((found.with_all.loss - 1.460_261).abs() < 1e-6);
        for (without, expected) in found.without.iter().zip([3.011_048, 2.363_083, 0.793_595]) {
            assert!((without.loss - expected).abs() < 1e-6, "{without:?}");
        }
        assert_eq!(found.most_harmful(1, |evaluation| evaluation.error_rate), [2].into());
        assert_eq!(found.most_harmful(1, |evaluation| evaluation.loss), [2].into());
        assert_eq!(found.most_harmful(2, |evaluation| evaluation.loss), [1, 2].into());
    }

    #[test]
    fn a_rule_that_cannot_spare_one_update_is_named() {
        // Krum with c = 1 can aggregate 5, but not 4.
        let refused = leave_one_out(&rows_of_bias(&[1.0; 5]), &Krum { byzantine: 1 }).unwrap_err();
        assert!(refused.to_string().contains("krum needs"), "{refused}");
    }

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

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let rows: Vec<Vec<f32>> =
            (0..9_u8).map(|i| (0..4_u8).map(|j| f32::from(7 * i + j).sin()).collect()).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| leave_one_out(&rows, &Mean).unwrap())
        };
        assert_eq!(on(1), on(4));
    }
}
