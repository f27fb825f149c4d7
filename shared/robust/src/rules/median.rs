//! The coordinate-wise median.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Plan, Round, Rule, RuleError, Statistic};

/// The coordinate-wise median; for an even number of devices the mean of the two middle values (Yin et al. 2018).
///
/// While fewer than half of the devices are Byzantine, each coordinate of the result lies between the smallest and the
/// largest benign value. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Median {}

impl Rule for Median {
    fn plan(&self, _: &Round<'_>) -> Result<Plan, RuleError> {
        Ok(Plan::Columns { statistic: Statistic::Median, rows: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, leave_one_out, matrix};
    use crate::{Byzantine, Executor as _, Processors, Updates};
    use proptest::prelude::*;

    #[test]
    fn an_odd_number_of_devices_has_one_middle_value() {
        let rows = [vec![5.0, -1.0], vec![1.0, -3.0], vec![2.0, 1e30]];
        assert_eq!(aggregate(&Median {}, &rows), [2.0, -1.0]);
        assert_eq!(aggregate(&Median {}, &rows[..1]), rows[0]);
    }

    #[test]
    fn an_even_number_of_devices_gives_the_mean_of_the_two_middle_values() {
        let rows = [vec![5.0, 8.0], vec![1.0, 8.0], vec![2.0, -8.0], vec![-1e30, 8.0]];
        assert_eq!(aggregate(&Median {}, &rows), [1.5, 8.0]);
        assert_eq!(aggregate(&Median {}, &[vec![f32::MAX], vec![f32::MAX]]), [f32::MAX]);
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic() {
        let rows = [vec![f32::NAN], vec![f32::INFINITY], vec![-f32::NAN], vec![1.0], vec![2.0]];
        assert_eq!(aggregate(&Median {}, &rows).len(), 1);
    }

    #[test]
    fn zeros_of_either_sign_have_one_median() {
        for devices in 2..40_u8 {
            let rows: Vec<Vec<f32>> =
                (0..devices).map(|device| vec![if device % 3 == 0 { 0.0 } else { -0.0 }]).collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let updates = Updates::new(&rows, None).unwrap();
            let mut medians = leave_one_out(&Median {}, &updates);
            let all = Processors.aggregate(&Median {}, &updates, Byzantine::default()).unwrap();
            medians.push(all.values);
            assert!(medians.iter().all(|median| median[0].to_bits() == 0), "{devices} devices");
        }
    }

    /// The definition by counting: the value at sorted position `rank` has at most `rank` values below it,
    /// and more than `rank` that are not above it.
    fn at_rank(values: &[f32], rank: usize) -> f32 {
        let below = |x: f32| values.iter().filter(|&&v| v < x).count();
        let not_above = |x: f32| values.iter().filter(|&&v| v <= x).count();
        values.iter().copied().find(|&x| below(x) <= rank && rank < not_above(x)).unwrap()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition_by_counting(rows in matrix(1..12)) {
            let m = rows.len();
            for (j, actual) in aggregate(&Median {}, &rows).into_iter().enumerate() {
                let column: Vec<f32> = rows.iter().map(|row| row[j]).collect();
                let (lower, upper) = (at_rank(&column, (m - 1) / 2), at_rank(&column, m / 2));
                prop_assert_eq!(actual, lower / 2.0 + upper / 2.0);
            }
        }
    }
}
