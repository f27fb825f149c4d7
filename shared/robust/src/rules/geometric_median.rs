//! The geometric median: the point whose distances to all updates are least in sum.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{at_most_half, is_positive};
use crate::{Byzantine, Combination, Gram, Plan, Round, Rule, RuleError};

/// Weights that change by less than so much of themselves stand.
const CONVERGED: f64 = 1e-9;

/// Steps after which the search for weights that stand ends.
const MOST_STEPS: usize = 1_000;

/// The point from which the updates are least far away in sum, by Weiszfeld's algorithm (RFA; Pillutla et al. 2019).
///
/// It begins with the mean, and counts each update by one over its distance from the point of the step before, until the
/// weights stand. Needs c < m / 2. The number of examples is ignored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GeometricMedian {
    /// The distance below which updates count the same (the paper's nu).
    pub smoothing: f64,
    /// How many steps there are; without, as many as it takes for the weights to stand, and at most 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
}

impl Default for GeometricMedian {
    fn default() -> Self {
        GeometricMedian { smoothing: 1e-6, steps: None }
    }
}

impl GeometricMedian {
    /// How much each of the vectors that `gram` is of counts in their geometric median: weights that add up to 1.
    pub(super) fn weights(&self, gram: &Gram) -> Vec<f64> {
        let mut weights = vec![1.0 / gram.size() as f64; gram.size()];
        for _ in 0..self.steps.map_or(MOST_STEPS, |steps| steps as usize) {
            let squares = gram.squared_distances_from(&weights);
            let closeness: Vec<f64> =
                squares.iter().map(|square| square.sqrt().max(self.smoothing).recip()).collect();
            let total: f64 = closeness.iter().sum();
            let mut stand = true;
            for (weight, closeness) in weights.iter_mut().zip(closeness) {
                let next = closeness / total;
                stand &= (next - *weight).abs() <= CONVERGED * next;
                *weight = next;
            }
            if stand && self.steps.is_none() {
                break;
            }
        }
        weights
    }
}

impl Rule for GeometricMedian {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        is_positive("geometric-median", "smoothing", self.smoothing)?;
        at_most_half("geometric-median", devices, byzantine)
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        Ok(Plan::Combination(Combination::of(self.weights(&round.gram(&[])?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, column, matrix};
    use proptest::prelude::*;

    #[test]
    fn of_a_column_it_is_the_median() {
        let median = aggregate(&GeometricMedian::default(), &column(&[0.0, 1.0, 2.0, 4.0, 1e30]));
        assert!((median[0] - 2.0).abs() < 1e-3, "{median:?}");
    }

    #[test]
    fn it_is_where_the_distances_are_least() {
        // The Fermat point of a triangle with an angle of 120 degrees or more is that corner.
        let rows = [vec![0.0, 0.0], vec![4.0, 0.5], vec![-4.0, 0.5]];
        let median = aggregate(&GeometricMedian::default(), &rows);
        assert!(median.iter().all(|value| value.abs() < 1e-3), "{median:?}");
        // And that of an equilateral one its centre.
        let height = 3.0_f32.sqrt();
        let rows = [vec![-1.0, 0.0], vec![1.0, 0.0], vec![0.0, height]];
        let median = aggregate(&GeometricMedian::default(), &rows);
        assert!(median[0].abs() < 1e-6 && (median[1] - height / 3.0).abs() < 1e-6, "{median:?}");
    }

    #[test]
    fn settings_and_numbers_that_cannot_be_are_refused() {
        let check = |smoothing, byzantine, devices| {
            let rule = GeometricMedian { smoothing, steps: None };
            rule.check(devices, Byzantine::of(byzantine)).map_err(|error| error.to_string())
        };
        assert_eq!(check(0.1, 2, 5), Ok(()));
        assert!(check(0.1, 2, 4).unwrap_err().contains("needs byzantine < devices / 2"));
        for smoothing in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(check(smoothing, 0, 5).unwrap_err().contains("smoothing"), "{smoothing}");
        }
    }

    /// The definition, word by word, in `f64`.
    fn by_definition(rows: &[Vec<f32>], smoothing: f64, steps: usize) -> Vec<f64> {
        let (m, d) = (rows.len(), rows[0].len());
        let mut weights = vec![1.0 / m as f64; m];
        let point = |weights: &[f64]| -> Vec<f64> {
            (0..d).map(|j| (0..m).map(|i| weights[i] * f64::from(rows[i][j])).sum()).collect()
        };
        for _ in 0..steps {
            let from = point(&weights);
            let distance = |row: &Vec<f32>| {
                row.iter().zip(&from).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>().sqrt()
            };
            weights = rows.iter().map(|row| 1.0 / distance(row).max(smoothing)).collect();
            let total: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= total);
        }
        point(&weights)
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(1..12), smoothing in 0.01..1.0_f64, steps in 1..9_u32) {
            let rule = GeometricMedian { smoothing, steps: Some(steps) };
            let expected = by_definition(&rows, smoothing, steps as usize);
            for (value, expected) in aggregate(&rule, &rows).into_iter().zip(expected) {
                prop_assert!((f64::from(value) - expected).abs() <= 1e-4, "{value} {expected}");
            }
        }

        #[test]
        fn fewer_than_half_cannot_push_it_far(rows in matrix(5..9), far in 1e3..1e30_f32) {
            let mut attacked = rows.clone();
            let d = rows[0].len();
            attacked.extend([vec![far; d], vec![far; d]]);
            let largest = rows.iter().flatten().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            // Minsker (2015): with a share a of points that lie, at most 2 (1 - a) / (1 - 2a) times as far as the others.
            let share = 2.0 / attacked.len() as f32;
            let bound = 2.0 * (1.0 - share) / (1.0 - 2.0 * share) * largest * (d as f32).sqrt() + 1e-3;
            let length = aggregate(&GeometricMedian::default(), &attacked).iter().map(|v| v * v).sum::<f32>().sqrt();
            prop_assert!(length <= bound, "{length} {bound}");
        }
    }
}
