//! The mean of the other rows, for each row.

use rayon::prelude::*;

use super::columns::{LANES, blocks_of, give_shape};
use super::mean::MeanWeights;
use super::prefetch::Prefetch;
use crate::{RuleError, Updates};
use simd::{Kernel, vectorized};

/// Values of a block of columns, which with sums for every fourth row are a fraction of a second-level cache.
const CACHED: usize = 1 << 16;

/// Columns of a block at most: sums of some of them are in a first-level cache.
const LONG: usize = 2048;

/// Rows whose sums are kept together.
const GROUP: usize = 4;

/// For each row of `updates` the weighted mean of the others.
///
/// The sum without a row is that of the rows before it and of those after it: nothing is taken away from a sum, so that
/// nothing is lost beside a large value.
///
/// # Errors
/// [`RuleError::NoWeight`] if the others weigh nothing.
pub(crate) fn leave_one_out_means(
    updates: &Updates<'_>,
    weights: &MeanWeights,
    means: &mut Vec<Vec<f32>>,
) -> Result<(), RuleError> {
    let (shares, weights) = (weights.leave_one_out_shares()?, &weights.each[..]);
    give_shape(means, updates.len(), updates.dimension());
    let columns = (CACHED / updates.len()).clamp(LANES, LONG) / LANES * LANES;
    let blocks = blocks_of(means, columns);
    blocks.into_par_iter().enumerate().for_each_init(Sums::default, |sums, (block, mut pieces)| {
        let (start, pieces) = (block * columns, &mut pieces[..]);
        vectorized(LeaveOneOutMeans { updates, weights, shares: &shares, start, sums, pieces });
    });
    Ok(())
}

/// For each row the mean of the others, of as many columns from `start` on as its piece has places.
struct LeaveOneOutMeans<'a, 'p> {
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
    /// For each group, those of the rows before it.
    before: Vec<f64>,
    /// Those of the rows after a group.
    after: Vec<f64>,
    /// Zeros, for the rows that the last group lacks, and places for what would be their means.
    zeros: Vec<f32>,
    unused: [Vec<f32>; GROUP],
}

impl Kernel for LeaveOneOutMeans<'_, '_> {
    type Output = ();

    /// A group of rows at a time: to keep sums and read them again takes longer than to take them.
    #[inline(always)]
    fn run(self) {
        let LeaveOneOutMeans { updates, weights, shares, start, sums, pieces } = self;
        let columns = pieces.first().map_or(0, |piece| piece.len());
        let Sums { before, after, zeros, unused } = sums;
        zeros.resize(columns, 0.0);
        let row = |row: usize| match updates.rows().get(row) {
            Some(values) => {
                Row { values: &values[start..][..columns], weight: weights[row], share: shares[row] }
            }
            None => Row { values: &zeros[..columns], weight: 0.0, share: 0.0 },
        };
        let group = |group: usize| [0, 1, 2, 3].map(|k| row(GROUP * group + k));
        let mut prefetch = Prefetch::of(updates.rows(), start + columns, columns);
        let lines = if start + columns < updates.dimension() { GROUP * columns / LANES } else { 0 };
        before.resize(updates.len().div_ceil(GROUP) * columns, 0.0);
        before[..columns].fill(0.0);
        for next in 1..updates.len().div_ceil(GROUP) {
            for _ in 0..lines {
                prefetch.fetch_line();
            }
            let (here, sums) = before[(next - 1) * columns..].split_at_mut(columns);
            add_group(&mut sums[..columns], here, group(next - 1));
        }
        after.clear();
        after.resize(columns, 0.0);
        unused.iter_mut().for_each(|unused| unused.resize(columns, 0.0));
        for (index, means) in pieces.chunks_mut(GROUP).enumerate().rev() {
            let before = &before[index * columns..][..columns];
            let unused = unused.iter_mut().map(|unused| &mut unused[..columns]);
            let mut means = means.iter_mut().map(|means| &mut **means).chain(unused);
            let [Some(first), Some(second), Some(third), Some(fourth)] = [(); GROUP].map(|()| means.next())
            else {
                unreachable!("there are as many unused places as a group has rows")
            };
            means_of_others(before, after, group(index), first, second, third, fourth);
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

/// The sums `before` and the values of a group.
#[inline(always)]
fn add_group(sums: &mut [f64], before: &[f64], [first, second, third, fourth]: [Row<'_>; GROUP]) {
    let one_and_two = first.values.iter().zip(second.values);
    let values = one_and_two.zip(third.values.iter().zip(fourth.values));
    for ((sum, before), ((one, two), (three, four))) in sums.iter_mut().zip(before).zip(values) {
        let before = before + f64::from(*one) * first.weight + f64::from(*two) * second.weight;
        *sum = before + f64::from(*three) * third.weight + f64::from(*four) * fourth.weight;
    }
}

/// For each row of a group the means of the others, and the rows are among those after.
#[inline(always)]
fn means_of_others(
    before: &[f64],
    after: &mut [f64],
    [first, second, third, fourth]: [Row<'_>; GROUP],
    means_of_first: &mut [f32],
    means_of_second: &mut [f32],
    means_of_third: &mut [f32],
    means_of_fourth: &mut [f32],
) {
    let means =
        means_of_first.iter_mut().zip(means_of_second).zip(means_of_third.iter_mut().zip(means_of_fourth));
    let one_and_two = first.values.iter().zip(second.values);
    let values = one_and_two.zip(third.values.iter().zip(fourth.values));
    for (
        (((mean_of_first, mean_of_second), (mean_of_third, mean_of_fourth)), ((one, two), (three, four))),
        (before, after),
    ) in means.zip(values).zip(before.iter().zip(after))
    {
        let (one, two) = (f64::from(*one) * first.weight, f64::from(*two) * second.weight);
        let (three, four) = (f64::from(*three) * third.weight, f64::from(*four) * fourth.weight);
        let before_second = before + one;
        let before_third = before_second + two;
        *mean_of_fourth = ((before_third + three + *after) * fourth.share) as f32;
        let after_third = *after + four;
        *mean_of_third = ((before_third + after_third) * third.share) as f32;
        let after_second = after_third + three;
        *mean_of_second = ((before_second + after_second) * second.share) as f32;
        let after_first = after_second + two;
        *mean_of_first = ((before + after_first) * first.share) as f32;
        *after = after_first + one;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::mean::weighted_mean;

    proptest! {
        #[test]
        fn each_is_the_sum_before_and_that_after(
            (rows, weights) in (2..14_usize).prop_flat_map(|rows| {
                (vec(vec(-1.0..1.0_f32, 2 * LANES + 3), rows), vec(1.0..9.0_f64, rows))
            }),
        ) {
            let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let updates = Updates::new(&slices, Some(&weights)).unwrap();
            let weights = MeanWeights::new(updates.len(), updates.weights()).unwrap();
            let mut means = Vec::new();
            leave_one_out_means(&updates, &weights, &mut means).unwrap();
            let shares = weights.leave_one_out_shares().unwrap();
            for j in 0..rows[0].len() {
                let add = |sum: f64, row: usize| sum + f64::from(rows[row][j]) * weights.each[row];
                for (left_out, mean) in means.iter().enumerate() {
                    let before = (0..left_out).fold(0.0, add);
                    let after = (left_out + 1..rows.len()).rev().fold(0.0, add);
                    prop_assert_eq!(mean[j], ((before + after) * shares[left_out]) as f32);
                }
            }
        }
    }

    #[test]
    fn leave_one_out_every_block_of_columns_has_sums_of_its_own() {
        let value = |row: u16, column: u16| f32::from(row * 1_000) + f32::from(column % 500);
        let rows = [1, 2, 4].map(|row| (0..=2 * LONG as u16).map(|j| value(row, j)).collect::<Vec<_>>());
        let slices = rows.each_ref().map(Vec::as_slice);
        let updates = Updates::new(&slices, None).unwrap();
        let mut means = Vec::new();
        let weights = |rows| MeanWeights::new(rows, None).unwrap();
        leave_one_out_means(&updates, &weights(3), &mut means).unwrap();
        for (found, others) in means.iter().zip([[1, 2], [0, 2], [0, 1]]) {
            let others = others.map(|row| slices[row]);
            assert_eq!(*found, weighted_mean(&Updates::new(&others, None).unwrap(), &weights(2)));
        }
    }
}
