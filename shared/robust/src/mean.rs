//! The mean: what federated learning uses where nobody is assumed Byzantine.

use rayon::prelude::*;

use super::means::means_without_each;
use super::updates::check_weights;
use super::{Rule, RuleError, Updates};
use simd::{Kernel, vectorized};

/// Coordinate-wise mean, weighted by examples where [`Updates::weights`] are given (`FedAvg`).
///
/// One Byzantine device can move it anywhere (paper, section 2.2). Sums are taken in `f64` and in device
/// order.
#[derive(Clone, Copy, Debug)]
pub struct Mean;

impl Rule for Mean {
    fn name(&self) -> &'static str {
        "mean"
    }

    fn aggregate(&self, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
        self.check(updates.len())?;
        let weights = MeanWeights::of(updates);
        let mut mean = vec![0.0; updates.dimension()];
        mean.par_chunks_mut(LONG).enumerate().for_each(|(block, mean)| {
            vectorized(WeightedMean { updates, weights: &weights, start: block * LONG, mean });
        });
        Ok(mean)
    }

    fn leave_one_out(&self, updates: &Updates<'_>, aggregates: &mut Vec<Vec<f32>>) -> Result<(), RuleError> {
        self.check(updates.len().saturating_sub(1))?;
        means_without_each(updates, &MeanWeights::of(updates), aggregates)
    }
}

/// How much each update counts in a mean.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanWeights {
    /// Weights as fractions of the largest: no product overflows, and equal weights give the same bits as none.
    pub each: Vec<f64>,
    /// Their sum.
    pub total: f64,
}

impl MeanWeights {
    /// The weights of `updates`; 1 each if they have none.
    pub fn of(updates: &Updates<'_>) -> Self {
        MeanWeights::checked(updates.len(), updates.weights())
    }

    /// The weights of `rows` updates, wherever these are; 1 each if there are none.
    ///
    /// # Errors
    /// As [`Updates::new`] for weights.
    pub fn new(rows: usize, weights: Option<&[f64]>) -> Result<Self, RuleError> {
        weights.map_or(Ok(()), |weights| check_weights(rows, weights))?;
        Ok(MeanWeights::checked(rows, weights))
    }

    fn checked(rows: usize, weights: Option<&[f64]>) -> Self {
        let each = match weights {
            None => vec![1.0; rows],
            Some(weights) => {
                let largest = weights.iter().copied().fold(0.0, f64::max);
                weights.iter().map(|weight| weight / largest).collect()
            }
        };
        MeanWeights { total: each.iter().sum(), each }
    }

    /// For each row, one over the sum of the weights of the others: division is slow, and there are as many as values.
    ///
    /// # Errors
    /// [`RuleError::NoWeight`] if such a sum is zero, or next to nothing.
    pub fn shares_without_each(&self) -> Result<Vec<f64>, RuleError> {
        let rows = self.each.len();
        let total_without =
            |row: usize| -> f64 { self.each[..row].iter().chain(&self.each[row + 1..]).sum() };
        let shares: Vec<f64> = (0..rows).map(|row| total_without(row).recip()).collect();
        if shares.iter().any(|share| share.is_infinite()) {
            return Err(RuleError::NoWeight { rows: rows.saturating_sub(1) });
        }
        Ok(shares)
    }
}

/// Columns that are summed at a time: long pieces of each row, which a processor fetches by itself, and their sums in a
/// first-level cache.
const LONG: usize = 2048;

/// The mean of the columns from `start` on, as many as there are places for.
struct WeightedMean<'a> {
    updates: &'a Updates<'a>,
    weights: &'a MeanWeights,
    start: usize,
    mean: &'a mut [f32],
}

impl Kernel for WeightedMean<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut sums = [0.0; LONG];
        let sums = &mut sums[..self.mean.len()];
        for (row, weight) in self.updates.rows().iter().zip(&self.weights.each) {
            add(sums, &row[self.start..], *weight);
        }
        for (mean, sum) in self.mean.iter_mut().zip(sums) {
            *mean = (*sum / self.weights.total) as f32;
        }
    }
}

/// Adds each value to its sum, as often as its weight says.
#[inline(always)]
fn add(sums: &mut [f64], values: &[f32], weight: f64) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += f64::from(*value) * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [&[f32]; 3] = [&[1.0, -3.0], &[2.0, 0.0], &[6.0, 9.0]];

    fn mean(rows: &[&[f32]], weights: Option<&[f64]>) -> Vec<f32> {
        Mean.aggregate(&Updates::new(rows, weights).unwrap()).unwrap()
    }

    #[test]
    fn without_weights_every_device_counts_the_same() {
        assert_eq!(mean(&ROWS, None), [3.0, 2.0]);
    }

    #[test]
    fn with_weights_a_device_counts_by_its_examples() {
        assert_eq!(mean(&ROWS, Some(&[100.0, 100.0, 200.0])), [3.75, 3.75]);
        assert_eq!(mean(&ROWS, Some(&[0.0, 7.0, 0.0])), ROWS[1]);
    }

    #[test]
    fn equal_weights_change_no_bit() {
        let rows: [&[f32]; 3] = [&[0.1, 1e-20], &[0.7, 3e10], &[-0.3, 0.5]];
        assert_eq!(mean(&rows, Some(&[601.0; 3])), mean(&rows, None));
    }

    #[test]
    fn the_largest_values_and_weights_do_not_overflow() {
        let rows: [&[f32]; 2] = [&[f32::MAX], &[f32::MAX]];
        assert_eq!(mean(&rows, Some(&[f64::MAX, f64::MAX])), [f32::MAX]);
    }

    #[test]
    fn a_small_value_is_not_lost_beside_large_ones_that_cancel() {
        assert_eq!(mean(&[&[1e8], &[3.0], &[-1e8]], None), [1.0]);
    }

    #[test]
    fn no_devices_are_refused() {
        assert_eq!(Mean.check(0), Err(RuleError::NoUpdates));
        assert_eq!(Mean.check(1), Ok(()));
    }
}
