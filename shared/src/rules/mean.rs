//! The mean: what federated learning uses where nobody is assumed Byzantine.

use super::columns::{LANES, Lanes, Statistic, Strips, map_columns, map_columns_to_one};
use super::{Rule, RuleError, Updates};

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
        Ok(map_columns_to_one(updates, &WeightedMean(MeanWeights::of(updates))))
    }

    /// The sum without a row is that of the rows before it and of those after it: nothing is taken away from a sum, so
    /// that nothing is lost beside a large value.
    fn leave_one_out(&self, updates: &Updates<'_>) -> Result<Vec<Vec<f32>>, RuleError> {
        self.check(updates.len().saturating_sub(1))?;
        let weights = MeanWeights::of(updates);
        let totals = weights.totals_without_each()?;
        Ok(map_columns(updates, &WeightedMeansWithoutEach { weights: weights.each, totals }))
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
        let each = match updates.weights() {
            None => vec![1.0; updates.len()],
            Some(weights) => {
                let largest = weights.iter().copied().fold(0.0, f64::max);
                weights.iter().map(|weight| weight / largest).collect()
            }
        };
        MeanWeights { total: each.iter().sum(), each }
    }

    /// For each row the sum of the weights of the others.
    ///
    /// # Errors
    /// [`RuleError::NoWeight`] if one of them is zero.
    pub fn totals_without_each(&self) -> Result<Vec<f64>, RuleError> {
        let rows = self.each.len();
        let total_without =
            |row: usize| -> f64 { self.each[..row].iter().chain(&self.each[row + 1..]).sum() };
        let totals: Vec<f64> = (0..rows).map(total_without).collect();
        if totals.contains(&0.0) {
            return Err(RuleError::NoWeight { rows: rows.saturating_sub(1) });
        }
        Ok(totals)
    }
}

struct WeightedMean(MeanWeights);

impl Statistic for WeightedMean {
    #[inline(always)]
    fn compute<const S: usize>(&self, columns: &mut [Strips<S>], results: &mut [Strips<S>]) {
        for strip in 0..S {
            let mut sums = [0.0; LANES];
            for (row, weight) in columns.iter().zip(&self.0.each) {
                add(&mut sums, &row[strip], *weight);
            }
            results[0][strip] = Lanes(sums.map(|sum| (sum / self.0.total) as f32));
        }
    }
}

struct WeightedMeansWithoutEach {
    weights: Vec<f64>,
    /// For each row the sum of the weights of the others.
    totals: Vec<f64>,
}

impl Statistic for WeightedMeansWithoutEach {
    fn results(&self) -> usize {
        self.weights.len()
    }

    #[inline(always)]
    fn compute<const S: usize>(&self, columns: &mut [Strips<S>], results: &mut [Strips<S>]) {
        let devices = self.weights.len();
        let mut before = vec![[0.0; LANES]; devices];
        for strip in 0..S {
            for row in 1..devices {
                before[row] = before[row - 1];
                add(&mut before[row], &columns[row - 1][strip], self.weights[row - 1]);
            }
            let mut after = [0.0; LANES];
            for row in (0..devices).rev() {
                for lane in 0..LANES {
                    results[row][strip][lane] = ((before[row][lane] + after[lane]) / self.totals[row]) as f32;
                }
                add(&mut after, &columns[row][strip], self.weights[row]);
            }
        }
    }
}

/// Adds the values of a row, times its weight.
#[inline(always)]
fn add(sums: &mut [f64; LANES], row: &Lanes, weight: f64) {
    for (sum, value) in sums.iter_mut().zip(row.iter()) {
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
