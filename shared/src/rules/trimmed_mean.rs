//! The coordinate-wise trimmed mean.

use super::columns::map_columns;
use super::{Rule, RuleError, Updates};

/// Per coordinate the mean without the β largest and the β smallest values (paper, section 2.2; Yin et al.,
/// ICML 2018).
///
/// The paper asks for c <= β < m / 2. The rule can check only the second part; with the first, each
/// coordinate of the result lies between the smallest and the largest benign value. Sums are taken in `f64`
/// and in ascending order, so that the order of the devices does not matter. Weights are ignored.
#[derive(Clone, Copy, Debug)]
pub struct TrimmedMean {
    /// Number of values dropped at each end (the paper's β).
    pub trim: usize,
}

impl Rule for TrimmedMean {
    fn name(&self) -> &'static str {
        "trimmed-mean"
    }

    fn check(&self, devices: usize) -> Result<(), RuleError> {
        if self.trim.saturating_mul(2) < devices {
            return Ok(());
        }
        Err(RuleError::Condition {
            rule: self.name(),
            condition: "trim < devices / 2",
            parameter: "trim",
            value: self.trim,
            devices,
        })
    }

    fn aggregate(&self, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
        self.check(updates.len())?;
        Ok(map_columns(updates, |column| {
            column.sort_unstable_by(f32::total_cmp);
            let kept = &column[self.trim..column.len() - self.trim];
            (kept.iter().copied().map(f64::from).sum::<f64>() / kept.len() as f64) as f32
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties::{aggregate, matrix};
    use super::super::{Mean, Median};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn drops_as_many_values_at_each_end() {
        let rows = [vec![4.0, 9.0], vec![-1e30, 1.0], vec![2.0, 2.0], vec![1e30, 4.0], vec![0.0, -9.0]];
        assert_eq!(aggregate(&TrimmedMean { trim: 1 }, &rows), [2.0, 7.0 / 3.0]);
        assert_eq!(aggregate(&TrimmedMean { trim: 2 }, &rows), [2.0, 2.0]);
    }

    #[test]
    fn at_least_one_value_must_be_left() {
        assert_eq!(TrimmedMean { trim: 2 }.check(5), Ok(()));
        assert_eq!(TrimmedMean { trim: 0 }.check(1), Ok(()));
        for (trim, devices) in [(2, 4), (3, 5), (0, 0), (usize::MAX, 100)] {
            assert!(TrimmedMean { trim }.check(devices).is_err(), "{trim} of {devices}");
        }
        let rows: [&[f32]; 2] = [&[1.0], &[2.0]];
        let refused = TrimmedMean { trim: 1 }.aggregate(&Updates::new(&rows, None).unwrap());
        assert_eq!(
            refused.unwrap_err().to_string(),
            "trimmed-mean needs trim < devices / 2, but trim = 1 and devices = 2: \
             raise the number of devices or lower aggregation.trim"
        );
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic() {
        let rows = [vec![f32::NAN], vec![f32::INFINITY], vec![1.0], vec![f32::NEG_INFINITY], vec![3.0]];
        assert_eq!(aggregate(&TrimmedMean { trim: 2 }, &rows), [3.0]);
    }

    /// The definition by hand: take one largest and one smallest value away, `trim` times.
    fn by_removal(mut values: Vec<f32>, trim: usize) -> f32 {
        for _ in 0..trim {
            for extreme in [f32::max, f32::min] {
                let value = values.iter().copied().reduce(extreme).unwrap();
                values.swap_remove(values.iter().position(|&v| v == value).unwrap());
            }
        }
        (values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64) as f32
    }

    proptest! {
        #[test]
        fn agrees_with_removing_extremes_one_by_one(rows in matrix(1..12), trim in 0..6_usize) {
            let trim = trim.min((rows.len() - 1) / 2);
            for (j, actual) in aggregate(&TrimmedMean { trim }, &rows).into_iter().enumerate() {
                let column = rows.iter().map(|row| row[j]).collect();
                prop_assert_eq!(actual, by_removal(column, trim));
            }
        }

        #[test]
        fn is_the_mean_without_trimming_and_the_median_with_the_most(rows in matrix(1..12)) {
            prop_assert_eq!(aggregate(&TrimmedMean { trim: 0 }, &rows), aggregate(&Mean, &rows));
            let trim = (rows.len() - 1) / 2;
            prop_assert_eq!(aggregate(&TrimmedMean { trim }, &rows), aggregate(&Median, &rows));
        }
    }
}
