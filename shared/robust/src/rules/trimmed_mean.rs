//! The coordinate-wise trimmed mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Byzantine, Plan, Round, Rule, RuleError, Statistic};

/// The mean of each coordinate without its `trim` largest and smallest values (Yin et al. 2018).
///
/// With β the values that are trimmed at either end, Fang et al. (2020, section 2.2) ask for c <= β < m / 2. The rule can
/// check only the second part; with the first, each coordinate of the result lies between the smallest and the largest
/// benign value. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrimmedMean {
    /// Values dropped at either end (the paper's beta); as many as Byzantine devices are assumed by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trim: Option<u32>,
}

impl TrimmedMean {
    fn trim(&self, byzantine: Byzantine) -> usize {
        let trim = self.trim.map_or(byzantine.assumed, |trim| trim as usize);
        trim.saturating_sub(byzantine.excluded)
    }
}

impl Rule for TrimmedMean {
    fn resolve(&mut self, byzantine: usize) {
        self.trim.get_or_insert(byzantine as u32);
    }

    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        let trim = self.trim(byzantine);
        if trim.saturating_mul(2) < devices {
            return Ok(());
        }
        Err(RuleError::Condition {
            rule: "trimmed-mean",
            condition: "trim < devices / 2",
            parameter: "trim",
            value: trim,
            devices,
        })
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let statistic = Statistic::TrimmedMean { trim: self.trim(round.byzantine()) };
        Ok(Plan::Columns { statistic, rows: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::columns::WIDE_UP_TO;
    use crate::properties::{aggregate, leave_one_out, matrix};
    use crate::{Executor as _, Mean, Median, Processors, Updates};
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn trimming(trim: usize) -> TrimmedMean {
        TrimmedMean { trim: Some(trim as u32) }
    }

    #[test]
    fn drops_as_many_values_at_each_end() {
        let rows = [vec![4.0, 9.0], vec![-1e30, 1.0], vec![2.0, 2.0], vec![1e30, 4.0], vec![0.0, -9.0]];
        assert_eq!(aggregate(&trimming(1), &rows), [2.0, 7.0 / 3.0]);
        assert_eq!(aggregate(&trimming(2), &rows), [2.0, 2.0]);
    }

    #[test]
    fn what_is_left_without_a_large_value_is_not_lost_beside_it() {
        let rows: [&[f32]; 4] = [&[1e30], &[1.0], &[2.0], &[-6.0]];
        let without = leave_one_out(&trimming(0), &Updates::new(&rows, None).unwrap());
        assert_eq!(without[0], [-1.0]);
    }

    #[test]
    fn at_least_one_value_must_be_left() {
        assert_eq!(trimming(2).check(5, Byzantine::default()), Ok(()));
        assert_eq!(trimming(0).check(1, Byzantine::default()), Ok(()));
        for (trim, devices) in [(2, 4), (3, 5), (0, 0), (u32::MAX as usize, 100)] {
            assert!(trimming(trim).check(devices, Byzantine::default()).is_err(), "{trim} of {devices}");
        }
        let rows: [&[f32]; 2] = [&[1.0], &[2.0]];
        let refused =
            Processors.aggregate(&trimming(1), &Updates::new(&rows, None).unwrap(), Byzantine::default());
        assert_eq!(
            refused.unwrap_err().to_string(),
            "trimmed-mean needs trim < devices / 2, but trim = 1 and devices = 2: \
             raise the number of devices or lower aggregation.trim"
        );
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic() {
        let rows = [vec![f32::NAN], vec![f32::INFINITY], vec![1.0], vec![f32::NEG_INFINITY], vec![3.0]];
        assert_eq!(aggregate(&trimming(2), &rows).len(), 1);
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
            for (j, actual) in aggregate(&trimming(trim), &rows).into_iter().enumerate() {
                let column = rows.iter().map(|row| row[j]).collect();
                prop_assert_eq!(actual, by_removal(column, trim));
            }
        }

        #[test]
        fn of_many_devices_it_is_that_of_the_sorted_values_in_whatever_order(
            (values, shuffled) in vec(
                prop_oneof![-1.0..1.0_f32, -1e30..1e30_f32, (-2..3_i8).prop_map(f32::from)],
                WIDE_UP_TO + 1..WIDE_UP_TO + 200,
            )
            .prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle())),
            share in 0.0..0.5,
        ) {
            let column = |values: &[f32]| values.iter().map(|value| vec![*value]).collect::<Vec<_>>();
            let trim = ((values.len() - 1) as f64 * share) as usize;
            let actual = aggregate(&trimming(trim), &column(&values))[0];
            prop_assert_eq!(actual.to_bits(), aggregate(&trimming(trim), &column(&shuffled))[0].to_bits());
            let mut sorted: Vec<f64> = values.iter().copied().map(f64::from).collect();
            sorted.sort_by(f64::total_cmp);
            let kept = &sorted[trim..values.len() - trim];
            let (mean, largest) = (kept.iter().sum::<f64>() / kept.len() as f64, kept[0].abs().max(kept[kept.len() - 1].abs()));
            prop_assert!((f64::from(actual) - mean).abs() <= mean.abs() * 1e-7 + largest * 1e-12, "{actual} {mean}");
        }

        #[test]
        fn is_the_mean_without_trimming_and_the_median_with_the_most(rows in matrix(1..12)) {
            prop_assert_eq!(aggregate(&trimming(0), &rows), aggregate(&Mean::default(), &rows));
            let trim = (rows.len() - 1) / 2;
            prop_assert_eq!(aggregate(&trimming(trim), &rows), aggregate(&Median {}, &rows));
        }
    }
}
