//! Meamed: of each coordinate the mean near the median.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at_most_half;
use crate::{Byzantine, Plan, Round, Rule, RuleError, Statistic};

/// Of each coordinate the mean of the m - c values nearest their median (Xie et al. 2018, "mean around median").
///
/// The median of an even number of values is the mean of the two middle ones; of two values equally far from it, the lower
/// is nearer. Sums are taken in `f64`. Needs c < m / 2. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Meamed {}

impl Rule for Meamed {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        at_most_half("meamed", devices, byzantine)
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let count = round.devices() - round.byzantine().left();
        Ok(Plan::Columns { statistic: Statistic::MeanNearMedian { count }, rows: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate_byzantine, column, matrix};
    use proptest::prelude::*;

    #[test]
    fn the_mean_is_that_of_the_values_nearest_the_median() {
        // The median is 2. With c = 2, the three nearest are 2, 1 and 4: 0 is as far as 4, and lower.
        let rows = column(&[0.0, 1.0, 2.0, 4.0, 90.0]);
        assert_eq!(aggregate_byzantine(&Meamed {}, 2, &rows), [1.0]);
        assert_eq!(aggregate_byzantine(&Meamed {}, 1, &rows), [1.75]);
    }

    #[test]
    fn the_condition_is_exact_at_its_boundary() {
        let check = |byzantine, devices| Meamed {}.check(devices, Byzantine::of(byzantine));
        assert_eq!((check(0, 1), check(49, 99)), (Ok(()), Ok(())));
        for (byzantine, devices) in [(0, 0), (1, 2), (50, 100), (usize::MAX, 100)] {
            let refused = check(byzantine, devices).unwrap_err().to_string();
            assert!(refused.starts_with("meamed needs byzantine < devices / 2, but"), "{refused}");
        }
    }

    /// The definition, word by word.
    fn by_definition(rows: &[Vec<f32>], c: usize) -> Vec<f32> {
        let m = rows.len();
        let mean_near_median = |j: usize| {
            let mut values: Vec<f64> = rows.iter().map(|row| f64::from(row[j])).collect();
            values.sort_by(f64::total_cmp);
            let median = f64::midpoint(values[(m - 1) / 2], values[m / 2]);
            // Stable: the lower of two equally far stays ahead.
            values.sort_by(|a, b| (a - median).abs().total_cmp(&(b - median).abs()));
            (values[..m - c].iter().sum::<f64>() / (m - c) as f64) as f32
        };
        (0..rows[0].len()).map(mean_near_median).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(1..12), c in 0..6_usize) {
            let c = c.min((rows.len() - 1) / 2);
            prop_assert_eq!(aggregate_byzantine(&Meamed {}, c, &rows), by_definition(&rows, c));
        }
    }
}
