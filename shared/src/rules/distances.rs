//! Euclidean distances between updates: what Krum, and an attack on it, are built on.

use rayon::prelude::*;

use super::Updates;
use crate::simd::{Kernel, padded, vectorized};

/// Partial sums that one distance is gathered in, side by side in vector registers.
const LANES: usize = 16;

/// Values after which partial sums in `f32` are added to one in `f64`.
const BLOCK: usize = 16 * LANES;

/// Updates whose distances from another are computed together, so that the other is read once.
const TILE: usize = 4;

/// Where a sum of squares in `f32` may have lost something to overflow or underflow.
const SAFE: std::ops::Range<f64> = 1e-24..1e30;

/// The distances between all pairs of m updates: Euclidean and not squared (the paper's D).
#[derive(Clone, Debug, PartialEq)]
pub struct Distances {
    devices: usize,
    /// Row-major m x m, symmetric, zeros on the diagonal.
    matrix: Vec<f64>,
}

impl Distances {
    /// Computes the distances, m (m - 1) / 2 sums of d squares.
    ///
    /// Differences and squares are taken in `f32` and blocks of them added up in `f64`, so that a distance is off by at
    /// most 1e-6 of itself; where squares leave the range of `f32`, all is done in `f64`.
    pub fn of(updates: &Updates<'_>) -> Self {
        let rows = updates.rows();
        let devices = rows.len();
        let tiles: Vec<Vec<[f64; TILE]>> = (0..devices)
            .into_par_iter()
            .step_by(TILE)
            .map(|first| {
                // The last tile is filled up with its last row.
                let tile = std::array::from_fn(|i| rows[(first + i).min(devices - 1)]);
                vectorized(SquaredDistances { tile, others: &rows[first + 1..] })
            })
            .collect();
        let mut matrix = vec![0.0; devices * devices];
        for (first, tile) in (0..).step_by(TILE).zip(tiles) {
            for (j, squares) in (first + 1..).zip(tile) {
                for (i, square) in (first..j).zip(squares) {
                    let distance =
                        if SAFE.contains(&square) { square.sqrt() } else { euclidean(rows[i], rows[j]) };
                    matrix[i * devices + j] = distance;
                    matrix[j * devices + i] = distance;
                }
            }
        }
        Distances { devices, matrix }
    }

    /// The distances between all updates but one.
    pub(super) fn without(&self, row: usize) -> Self {
        let rows = self.matrix.chunks_exact(self.devices).enumerate().filter(|(i, _)| *i != row);
        let matrix = rows.flat_map(|(_, values)| [&values[..row], &values[row + 1..]].concat()).collect();
        Distances { devices: self.devices - 1, matrix }
    }

    /// Number of updates.
    pub fn devices(&self) -> usize {
        self.devices
    }

    /// The other updates with their distances from update `device`, nearest first, ties in ascending order of index;
    /// empty if there is no such update.
    pub fn nearest_first(&self, device: usize) -> Vec<(usize, f64)> {
        let row = self.matrix.chunks_exact(self.devices).nth(device).unwrap_or_default();
        let mut others: Vec<_> =
            row.iter().copied().enumerate().filter(|(other, _)| *other != device).collect();
        others.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        others
    }

    /// Sum of the distances from update `device` to its `count` nearest others, ties included once each; to
    /// all others if there are fewer. `None` if there is no such update.
    pub fn sum_to_nearest(&self, device: usize, count: usize) -> Option<f64> {
        let mut others = self.matrix.chunks_exact(self.devices).nth(device)?.to_vec();
        others.swap_remove(device);
        others.sort_unstable_by(f64::total_cmp);
        Some(others.iter().take(count).sum())
    }
}

/// The squared distances of others from each row of a tile, all of one length.
struct SquaredDistances<'a> {
    tile: [&'a [f32]; TILE],
    others: &'a [&'a [f32]],
}

impl Kernel for SquaredDistances<'_> {
    type Output = Vec<[f64; TILE]>;

    #[inline(always)]
    fn run(self) -> Vec<[f64; TILE]> {
        let mut all = Vec::with_capacity(self.others.len());
        for other in self.others {
            all.push(squared_distances(&self.tile, other));
        }
        all
    }
}

#[inline(always)]
fn squared_distances(tile: &[&[f32]; TILE], other: &[f32]) -> [f64; TILE] {
    let mut totals = [[0.0_f64; LANES]; TILE];
    for (block, values) in other.chunks(BLOCK).enumerate() {
        let rows = tile.map(|row| row[block * BLOCK..][..values.len()].as_chunks::<LANES>());
        let [(first, _), (second, _), (third, _), (fourth, _)] = rows;
        let (vectors, rest) = values.as_chunks::<LANES>();
        // Each in a register of its own.
        let (mut a, mut b, mut c, mut d) = ([0.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for ((((vector, first), second), third), fourth) in
            vectors.iter().zip(first).zip(second).zip(third).zip(fourth)
        {
            add_squares(&mut a, first, vector);
            add_squares(&mut b, second, vector);
            add_squares(&mut c, third, vector);
            add_squares(&mut d, fourth, vector);
        }
        for ((total, mut sums), (_, row_rest)) in totals.iter_mut().zip([a, b, c, d]).zip(rows) {
            add_squares(&mut sums, &padded(row_rest), &padded(rest));
            for (total, sum) in total.iter_mut().zip(&sums) {
                *total += f64::from(*sum);
            }
        }
    }
    totals.map(|total| total.iter().sum())
}

/// Adds the squared differences, each to a partial sum of its own.
#[inline(always)]
fn add_squares(sums: &mut [f32; LANES], a: &[f32; LANES], b: &[f32; LANES]) {
    for lane in 0..LANES {
        let difference = a[lane] - b[lane];
        sums[lane] += difference * difference;
    }
}

/// Euclidean distance of two vectors of one length, in `f64`.
fn euclidean(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2));
    squares.sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn distances_are_euclidean_and_not_squared() {
        let rows: [&[f32]; 3] = [&[0.0, 0.0], &[3.0, 4.0], &[0.0, 1.0]];
        let distances = Distances::of(&Updates::new(&rows, None).unwrap());
        let eighteen = 18.0_f64.sqrt();
        assert_eq!(distances.matrix, [0.0, 5.0, 1.0, 5.0, 0.0, eighteen, 1.0, eighteen, 0.0]);
    }

    fn of(rows: &[Vec<f32>]) -> Distances {
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        Distances::of(&Updates::new(&rows, None).unwrap())
    }

    #[test]
    fn every_coordinate_counts_whatever_the_length() {
        for length in (0..3 * LANES).chain(BLOCK - 2..BLOCK + 3).chain([2 * BLOCK + LANES + 1]) {
            let distances = of(&[vec![0.0; length], vec![1.0; length]]);
            assert_eq!(distances.matrix[1], (length as f64).sqrt(), "{length}");
        }
    }

    #[test]
    fn neither_the_largest_values_overflow_nor_do_the_smallest_vanish() {
        let distances = of(&[vec![f32::MAX], vec![-f32::MAX], vec![1e-30], vec![3e-30]]);
        assert_eq!(distances.matrix[1], 2.0 * f64::from(f32::MAX));
        assert!((distances.matrix[2 * 4 + 3] - 2e-30).abs() < 1e-36);
    }

    proptest! {
        #[test]
        fn distances_are_those_in_64_bits_to_a_millionth(
            rows in (1..10_usize, 1..600_usize).prop_flat_map(|(m, d)| vec(vec(-10.0..10.0_f32, d), m)),
            scale in -40..40_i32,
            offset in -100.0..100.0_f32,
        ) {
            let value = |value: &f32| (value + offset) * 2.0_f32.powi(scale);
            let rows: Vec<Vec<f32>> = rows.iter().map(|row| row.iter().map(value).collect()).collect();
            let distances = of(&rows);
            for (i, a) in rows.iter().enumerate() {
                for (j, b) in rows.iter().enumerate() {
                    let (actual, expected) = (distances.matrix[i * rows.len() + j], euclidean(a, b));
                    prop_assert!((actual - expected).abs() <= 1e-6 * expected, "{i} {j}: {actual} {expected}");
                }
            }
        }

        #[test]
        fn distances_without_an_update_are_those_of_the_others(
            rows in (2..10_usize).prop_flat_map(|m| vec(vec(-10.0..10.0_f32, 20), m)),
            row in 0..10_usize,
        ) {
            let row = row % rows.len();
            let mut others = rows.clone();
            others.remove(row);
            prop_assert_eq!(of(&rows).without(row), of(&others));
        }
    }

    #[test]
    fn the_nearest_others_never_include_the_update_itself() {
        let rows: [&[f32]; 4] = [&[0.0], &[0.0], &[2.0], &[7.0]];
        let distances = Distances::of(&Updates::new(&rows, None).unwrap());
        let sums = |device| [0, 1, 2, 3, 9].map(|count| distances.sum_to_nearest(device, count));
        assert_eq!(sums(0), [0.0, 0.0, 2.0, 9.0, 9.0].map(Some));
        assert_eq!(sums(3), [0.0, 5.0, 12.0, 19.0, 19.0].map(Some));
        assert_eq!(sums(4), [None; 5]);
    }

    #[test]
    fn others_come_nearest_first_and_ties_by_index() {
        let rows: [&[f32]; 4] = [&[3.0], &[0.0], &[2.0], &[4.0]];
        let distances = Distances::of(&Updates::new(&rows, None).unwrap());
        assert_eq!(distances.nearest_first(0), [(2, 1.0), (3, 1.0), (1, 3.0)]);
        assert_eq!(distances.nearest_first(4), []);
    }
}
