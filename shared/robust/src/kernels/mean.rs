//! The weighted mean.

use rayon::prelude::*;

use crate::updates::check_weights;
use crate::{RuleError, Updates};
use simd::{Kernel, vectorized};

/// Coordinate-wise weighted mean of m updates: d values. Sums are taken in `f64` and in the order
/// of the rows.
pub(crate) fn weighted_mean(updates: &Updates<'_>, weights: &MeanWeights) -> Vec<f32> {
    let mut mean = vec![0.0; updates.dimension()];
    mean.par_chunks_mut(LONG).enumerate().for_each(|(block, mean)| {
        vectorized(WeightedMean { updates, weights, start: block * LONG, mean });
    });
    mean
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
    /// The weights of `rows` updates, wherever these are; 1 each if there are none.
    ///
    /// # Errors
    /// As [`Updates::new`] for weights.
    pub fn new(rows: usize, weights: Option<&[f64]>) -> Result<Self, RuleError> {
        weights.map_or(Ok(()), |weights| check_weights(rows, weights))?;
        let each = match weights {
            None => vec![1.0; rows],
            Some(weights) => {
                let largest = weights.iter().copied().fold(0.0, f64::max);
                weights.iter().map(|weight| weight / largest).collect()
            }
        };
        Ok(MeanWeights { total: each.iter().sum(), each })
    }

    /// For each row, one over the sum of the weights of the others: division is slow, and there are as many as values.
    ///
    /// # Errors
    /// [`RuleError::NoWeight`] if such a sum is zero, or next to nothing.
    pub fn leave_one_out_shares(&self) -> Result<Vec<f64>, RuleError> {
        let (rows, mut before) = (self.each.len(), 0.0);
        let share = |(row, weight): (usize, &f64)| {
            let total_without: f64 = self.each[row + 1..].iter().fold(before, |sum, weight| sum + weight);
            before += weight;
            total_without.recip()
        };
        let shares: Vec<f64> = self.each.iter().enumerate().map(share).collect();
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

/// Adds each value, times its weight, to its sum.
#[inline(always)]
fn add(sums: &mut [f64], values: &[f32], weight: f64) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += f64::from(*value) * weight;
    }
}
