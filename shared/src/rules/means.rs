//! For each row the mean of the others.

use rayon::prelude::*;

use super::ahead::Ahead;
use super::columns::{LANES, blocks_of, give_shape};
use super::mean::MeanWeights;
use super::{RuleError, Updates};
use crate::simd::{Kernel, vectorized};

/// Values of a block of columns, which with sums for every other row are a fraction of a second-level cache.
const CACHED: usize = 1 << 16;

/// Columns of a block at most: sums of some of them are in a first-level cache.
const LONG: usize = 2048;

/// For each row of `updates` the weighted mean of the others.
///
/// The sum without a row is that of the rows before it and of those after it: nothing is taken away from a sum, so that
/// nothing is lost beside a large value.
///
/// # Errors
/// [`RuleError::NoWeight`] if the others weigh nothing.
pub(super) fn means_without_each(
    updates: &Updates<'_>,
    weights: &MeanWeights,
    means: &mut Vec<Vec<f32>>,
) -> Result<(), RuleError> {
    let (shares, weights) = (weights.shares_without_each()?, &weights.each[..]);
    give_shape(means, updates.len(), updates.dimension());
    let columns = (CACHED / updates.len()).clamp(LANES, LONG) / LANES * LANES;
    let blocks = blocks_of(means, columns);
    blocks.into_par_iter().enumerate().for_each_init(Sums::default, |sums, (block, mut pieces)| {
        let (start, pieces) = (block * columns, &mut pieces[..]);
        vectorized(MeansWithoutEach { updates, weights, shares: &shares, start, sums, pieces });
    });
    Ok(())
}

/// For each row the mean of the others, of as many columns from `start` on as its piece has places.
struct MeansWithoutEach<'a, 'p> {
    updates: &'a Updates<'a>,
    weights: &'a [f64],
    /// For each row, one over the sum of the weights of the others.
    shares: &'a [f64],
    start: usize,
    sums: &'a mut Sums,
    pieces: &'a mut [&'p mut [f32]],
}

/// Memory for sums of some columns.
#[derive(Default)]
struct Sums {
    /// For each two rows, those of the rows before them.
    before: Vec<f64>,
    /// Of two rows, those of the rows after them.
    after: Vec<f64>,
}

impl Kernel for MeansWithoutEach<'_, '_> {
    type Output = ();

    /// Two rows at a time: to keep sums and read them again takes longer than to take them.
    #[inline(always)]
    fn run(self) {
        let MeansWithoutEach { updates, weights, shares, start, sums, pieces } = self;
        let columns = pieces.first().map_or(0, |piece| piece.len());
        let row = |row: usize| Row {
            values: &updates.rows()[row][start..][..columns],
            weight: weights[row],
            share: shares[row],
        };
        let mut ahead = Ahead::of(updates.rows(), start + columns, columns);
        let Sums { before, after } = sums;
        before.resize(updates.len().div_ceil(2) * columns, 0.0);
        before[..columns].fill(0.0);
        for pair in 1..updates.len().div_ceil(2) {
            for _ in 0..2 * columns / LANES {
                ahead.fetch_line();
            }
            let (here, next) = before[(pair - 1) * columns..].split_at_mut(columns);
            add_two(&mut next[..columns], here, row(2 * pair - 2), row(2 * pair - 1));
        }
        after.clear();
        after.resize(columns, 0.0);
        for (pair, means) in pieces.chunks_mut(2).enumerate().rev() {
            let (before, first) = (&before[pair * columns..][..columns], row(2 * pair));
            match means {
                [means] => first.mean_of_others(before, after, means),
                [means, means_of_second] => {
                    means_of_others(before, after, first, row(2 * pair + 1), means, means_of_second);
                }
                _ => {}
            }
        }
    }
}

/// Some columns of a row.
#[derive(Clone, Copy)]
struct Row<'a> {
    values: &'a [f32],
    weight: f64,
    /// One over the sum of the weights of the other rows.
    share: f64,
}

impl Row<'_> {
    /// The means of the others, and the row is among those after.
    #[inline(always)]
    fn mean_of_others(&self, before: &[f64], after: &mut [f64], means: &mut [f32]) {
        for ((mean, value), (before, after)) in
            means.iter_mut().zip(self.values).zip(before.iter().zip(after))
        {
            *mean = ((before + *after) * self.share) as f32;
            *after += f64::from(*value) * self.weight;
        }
    }
}

/// The sums `before` and the values of two rows.
#[inline(always)]
fn add_two(sums: &mut [f64], before: &[f64], first: Row<'_>, second: Row<'_>) {
    let values = first.values.iter().zip(second.values);
    for ((sum, before), (one, other)) in sums.iter_mut().zip(before).zip(values) {
        *sum = before + f64::from(*one) * first.weight + f64::from(*other) * second.weight;
    }
}

/// [`Row::mean_of_others`] of the second of two rows, and then of the first.
#[inline(always)]
fn means_of_others(
    before: &[f64],
    after: &mut [f64],
    first: Row<'_>,
    second: Row<'_>,
    means_of_first: &mut [f32],
    means_of_second: &mut [f32],
) {
    let means = means_of_first.iter_mut().zip(means_of_second);
    let values = first.values.iter().zip(second.values);
    for (((mean_of_first, mean_of_second), (one, other)), (before, after)) in
        means.zip(values).zip(before.iter().zip(after))
    {
        let (one, other) = (f64::from(*one) * first.weight, f64::from(*other) * second.weight);
        *mean_of_second = ((before + one + *after) * second.share) as f32;
        *after += other;
        *mean_of_first = ((before + *after) * first.share) as f32;
        *after += one;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mean, Rule};
    use super::*;

    #[test]
    fn without_each_every_block_of_columns_has_sums_of_its_own() {
        let value = |row: u16, column: u16| f32::from(row * 1_000) + f32::from(column % 500);
        let rows = [1, 2, 4].map(|row| (0..=2 * LONG as u16).map(|j| value(row, j)).collect::<Vec<_>>());
        let slices = rows.each_ref().map(Vec::as_slice);
        let updates = Updates::new(&slices, None).unwrap();
        let mut means = Vec::new();
        means_without_each(&updates, &MeanWeights::of(&updates), &mut means).unwrap();
        for (found, others) in means.iter().zip([[1, 2], [0, 2], [0, 1]]) {
            let others = others.map(|row| slices[row]);
            assert_eq!(*found, Mean.aggregate(&Updates::new(&others, None).unwrap()).unwrap());
        }
    }
}
