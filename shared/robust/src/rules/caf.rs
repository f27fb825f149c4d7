//! The covariance-bound agnostic filter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at_most_half;
use crate::gram::dot;
use crate::spectrum::largest_eigenpair;
use crate::{Byzantine, Combination, Gram, Plan, Round, Rule, RuleError};

/// A weighted mean of which what spreads the updates most is filtered out (CAF; Allouah et al. 2025).
///
/// Each update counts 1 at first. Again and again those that lie farthest along the direction of the largest variance count for
/// less, until m - 2c of the weight is left; the result is the mean of the step whose largest variance was least. Needs
/// c < m / 2. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Caf {}

impl Caf {
    /// How much each of the vectors that `gram` is of counts: weights that add up to 1.
    fn weights(gram: &Gram, byzantine: usize) -> Vec<f64> {
        let devices = gram.size();
        let mut counts = vec![1.0; devices];
        let (mut least, mut best) = (f64::INFINITY, vec![1.0 / devices as f64; devices]);
        loop {
            let total: f64 = counts.iter().sum();
            if total <= devices as f64 - 2.0 * byzantine as f64 {
                return best;
            }
            let shares: Vec<f64> = counts.iter().map(|count| count / total).collect();
            let centred = gram.centred(&shares);
            let roots: Vec<f64> = shares.iter().map(|share| share.sqrt()).collect();
            let covariance = Gram::new(devices, |i, j| roots[i] * roots[j] * centred.product(i, j));
            let (variance, direction) = largest_eigenpair(&covariance);
            if variance < least {
                (least, best) = (variance, shares);
            }
            let direction: Vec<f64> =
                direction.iter().zip(&roots).map(|(value, root)| value * root).collect();
            let far = (0..devices)
                .map(|i| if counts[i] > 0.0 { dot(centred.row(i), &direction).powi(2) } else { 0.0 });
            let far: Vec<f64> = far.collect();
            let farthest = far.iter().copied().fold(0.0, f64::max);
            if farthest <= 0.0 {
                // All that count are the same.
                return best;
            }
            counts.iter_mut().zip(far).for_each(|(count, far)| *count *= 1.0 - far / farthest);
        }
    }
}

impl Rule for Caf {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        at_most_half("caf", devices, byzantine)
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let weights = Caf::weights(&round.gram(&[])?, round.byzantine().left());
        Ok(Plan::Combination(Combination::of(weights)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, aggregate_byzantine, column, matrix};
    use proptest::prelude::*;

    #[test]
    fn those_that_are_farthest_along_the_largest_variance_lose_their_weight() {
        let rows = [vec![0.0, 0.0], vec![1.0, 0.5], vec![-1.0, 0.5], vec![0.0, -1.0], vec![1e3, 1e3]];
        let filtered = aggregate_byzantine(&Caf {}, 1, &rows);
        assert!(filtered.iter().all(|value| value.abs() < 0.3), "{filtered:?}");
        assert_eq!(aggregate_byzantine(&Caf {}, 2, &column(&[7.0; 5])), [7.0]);
    }

    /// The definition, word by word: a column has one direction.
    fn by_definition(values: &[f64], f: usize) -> f64 {
        let mut counts = vec![1.0; values.len()];
        let (mut least, mut best) = (f64::INFINITY, values.iter().sum::<f64>() / values.len() as f64);
        while counts.iter().sum::<f64>() > values.len() as f64 - 2.0 * f as f64 {
            let total: f64 = counts.iter().sum();
            let mean = values.iter().zip(&counts).map(|(value, count)| value * count).sum::<f64>() / total;
            let far = |value: &f64| (value - mean).powi(2);
            let variance =
                values.iter().zip(&counts).map(|(value, count)| far(value) * count).sum::<f64>() / total;
            if variance < least {
                (least, best) = (variance, mean);
            }
            let counted = values.iter().zip(&counts).filter(|(_, count)| **count > 0.0);
            let farthest = counted.map(|(value, _)| far(value)).fold(0.0, f64::max);
            if farthest == 0.0 {
                break;
            }
            counts
                .iter_mut()
                .zip(values)
                .for_each(|(count, value)| *count = (*count * (1.0 - far(value) / farthest)).max(0.0));
        }
        best
    }

    proptest! {
        #[test]
        fn of_a_column_it_agrees_with_the_definition(values in prop::collection::vec(-50.0..50.0_f32, 3..12), f in 0..5_usize) {
            let f = f.min((values.len() - 1) / 2);
            let expected = by_definition(&values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>(), f);
            let value = aggregate_byzantine(&Caf {}, f, &column(&values))[0];
            prop_assert!((f64::from(value) - expected).abs() <= 1e-3, "{value} {expected}");
        }

        #[test]
        fn with_nobody_to_fear_it_is_the_mean(rows in matrix(1..9)) {
            let mean = aggregate(&crate::Mean::default(), &rows);
            for (value, expected) in aggregate(&Caf {}, &rows).into_iter().zip(mean) {
                prop_assert!((value - expected).abs() <= 1e-4, "{value} {expected}");
            }
        }
    }
}
