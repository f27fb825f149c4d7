//! Euclidean distances between updates: what Krum, and an attack on it, are built on.

use std::convert::Infallible;

use rayon::prelude::*;

use super::gram::upper_gram;
use crate::{Gram, Updates};
use simd::{Kernel, LANES, padded, vectorized};

/// Values after which partial sums in `f32` are added to one in `f64`.
const BLOCK: usize = 16 * LANES;

/// Where a sum of squares in `f32` may have lost nothing to overflow or underflow.
pub(crate) const SAFE: std::ops::Range<f64> = 1e-24..1e30;

/// A squared distance below so much of what it is the difference of has lost too many digits.
pub(crate) const CLOSE: f64 = 0.25;

/// The distances between all pairs of m updates: Euclidean and not squared (the paper's D).
#[derive(Clone, Debug, PartialEq)]
pub struct Distances {
    devices: usize,
    /// Row-major m x m, symmetric, zeros on the diagonal.
    matrix: Vec<f64>,
}

impl Distances {
    /// Computes the distances, each off by at most 1e-6 of itself.
    ///
    /// |a - b|² = |a|² + |b|² - 2ab, with a and b taken from a pivot among them, which keeps the three terms small:
    /// so all pairs cost half a matrix product. Pairs that are close even so, and those whose squares leave the range of
    /// `f32`, are computed again from their differences.
    pub fn of(updates: &Updates<'_>) -> Self {
        let rows = updates.rows();
        let recompute = |pairs: &[(usize, usize)]| {
            let distances = pairs.par_iter().map(|&(i, j)| distance(rows[i], rows[j])).collect();
            Ok::<_, Infallible>(distances)
        };
        let products = upper_gram(rows, rows[pivot_row(rows)]);
        match Distances::from_products(rows.len(), products, recompute) {
            Ok(distances) => distances,
            Err(never) => match never {},
        }
    }

    /// The distances between `devices` updates whose products are known, both updates taken from a pivot among them:
    /// those of each pair i <= j at `i * devices + j` of `products`, which has `devices` squared places.
    ///
    /// `recompute` gets the pairs i < j for which that is not precise enough, in ascending order, and gives their
    /// distances: see [`distance_of_square`].
    ///
    /// # Errors
    /// What `recompute` fails with.
    pub fn from_products<E>(
        devices: usize,
        mut products: Vec<f64>,
        recompute: impl FnOnce(&[(usize, usize)]) -> Result<Vec<f64>, E>,
    ) -> Result<Self, E> {
        let norms: Vec<f64> = (0..devices).map(|i| products[i * devices + i]).collect();
        let rows = products.par_chunks_exact_mut(devices.max(1)).enumerate();
        let imprecise: Vec<Vec<(usize, usize)>> = rows
            .map(|(i, products)| {
                let mut imprecise = Vec::new();
                products[..=i].fill(0.0);
                for j in i + 1..devices {
                    let norms = norms[i] + norms[j];
                    let square = norms - 2.0 * products[j];
                    if SAFE.contains(&norms) && square > CLOSE * norms {
                        products[j] = square.sqrt();
                    } else {
                        imprecise.push((i, j));
                    }
                }
                imprecise
            })
            .collect();
        let mut matrix = products;
        let imprecise = imprecise.concat();
        for (&(i, j), distance) in imprecise.iter().zip(recompute(&imprecise)?) {
            matrix[i * devices + j] = distance;
        }
        for i in 0..devices {
            for j in 0..i {
                matrix[i * devices + j] = matrix[j * devices + i];
            }
        }
        Ok(Distances { devices, matrix })
    }

    /// The distances between vectors whose inner products are known.
    pub fn of_gram(gram: &Gram) -> Self {
        let devices = gram.size();
        let pairs = (0..devices).flat_map(|i| (0..devices).map(move |j| (i, j)));
        let distance = |(i, j)| if i == j { 0.0 } else { gram.squared_distance(i, j).sqrt() };
        Distances { devices, matrix: pairs.map(distance).collect() }
    }

    /// Number of updates.
    pub fn devices(&self) -> usize {
        self.devices
    }

    /// The distances of all updates from update `device`, which there is; that of itself is 0.
    pub(crate) fn from(&self, device: usize) -> &[f64] {
        &self.matrix[device * self.devices..][..self.devices]
    }

    /// The other updates with their distances from update `device`, nearest first, ties in ascending order of index;
    /// empty if there is no such update.
    pub fn nearest_first(&self, device: usize) -> Vec<(usize, f64)> {
        let row = self.matrix.chunks_exact(self.devices).nth(device).unwrap_or_default();
        let others = row.iter().enumerate().filter(|(other, _)| *other != device);
        let mut others: Vec<(u64, usize)> =
            others.map(|(other, distance)| (order(*distance), other)).collect();
        others.sort_unstable();
        others.into_iter().map(|(_, other)| (other, row[other])).collect()
    }

    /// [`Distances::nearest_first`] of each update.
    pub(crate) fn each_nearest_first(&self) -> Vec<Vec<(usize, f64)>> {
        (0..self.devices).into_par_iter().map(|device| self.nearest_first(device)).collect()
    }

    /// Sum of the distances from update `device` to its `count` nearest others, ties included once each; to
    /// all others if there are fewer.
    pub(crate) fn sum_to_nearest(&self, device: usize, count: usize) -> f64 {
        self.sum_of_nearest(device, count, |distance| distance)
    }

    /// The same of what `of` makes of each distance.
    pub(crate) fn sum_of_nearest(&self, device: usize, count: usize, of: impl Fn(f64) -> f64) -> f64 {
        let mut others: Vec<u64> = self.from(device).iter().map(|distance| order(*distance)).collect();
        others.swap_remove(device);
        others.sort_unstable();
        others.iter().take(count).map(|distance| of(f64::from_bits(*distance))).sum()
    }
}

/// A number that is as large among others as `distance` is: whole numbers are sorted faster.
fn order(distance: f64) -> u64 {
    distance.abs().to_bits()
}

/// Values at the beginning of each update that [`pivot_row`] goes by.
pub const PIVOT_VALUES: usize = BLOCK;

/// The row of an update that most others are not far from, as far as its first [`PIVOT_VALUES`] values tell: the one of median
/// length. There is at least one row.
pub fn pivot_row(rows: &[impl AsRef<[f32]>]) -> usize {
    let length =
        |row: &[f32]| -> f64 { row.iter().take(PIVOT_VALUES).map(|&value| f64::from(value).powi(2)).sum() };
    let mut lengths: Vec<(f64, usize)> = rows.iter().map(|row| length(row.as_ref())).zip(0..).collect();
    let middle = lengths.len() / 2;
    lengths.select_nth_unstable_by(middle, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).1.1
}

/// Euclidean distance of two vectors of one length: from differences in `f32` and, where their squares leave its range,
/// in `f64`.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f64 {
    distance_of_square(vectorized(SquaredDistance(a, b))).unwrap_or_else(|| euclidean(a, b))
}

/// Euclidean distance of two vectors of one length whose `square` was summed up in `f32`, in 16 sums of every sixteenth
/// column that are added to sums in `f64` after every 256 columns. `None` where it has left the range of `f32`: then it
/// is [`euclidean`].
pub fn distance_of_square(square: f64) -> Option<f64> {
    SAFE.contains(&square).then(|| square.sqrt())
}

/// The squared distance of two vectors of one length.
struct SquaredDistance<'a>(&'a [f32], &'a [f32]);

impl Kernel for SquaredDistance<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut totals = [0.0_f64; LANES];
        for (a, b) in self.0.chunks(BLOCK).zip(self.1.chunks(BLOCK)) {
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            let mut sums = [0.0; LANES];
            for (a, b) in a.iter().zip(b) {
                add_squares(&mut sums, a, b);
            }
            add_squares(&mut sums, &padded(a_rest), &padded(b_rest));
            for (total, sum) in totals.iter_mut().zip(&sums) {
                *total += f64::from(*sum);
            }
        }
        totals.iter().sum()
    }
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
pub fn euclidean(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2));
    squares.sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::properties::distances as of;

    #[test]
    fn distances_are_euclidean_and_not_squared() {
        let rows: [&[f32]; 3] = [&[0.0, 0.0], &[3.0, 4.0], &[0.0, 1.0]];
        let distances = Distances::of(&Updates::new(&rows, None).unwrap());
        let eighteen = 18.0_f64.sqrt();
        assert_eq!(distances.matrix, [0.0, 5.0, 1.0, 5.0, 0.0, eighteen, 1.0, eighteen, 0.0]);
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
    }

    /// Most lie close together and far from the origin, some hardly apart, and an attacker is farther away than all.
    #[test]
    fn close_pairs_keep_their_digits_whoever_is_far_away() {
        let row = |i: usize| -> Vec<f32> {
            let apart = [1.0, 1e-3, 1e-5][i % 3];
            (0..700).map(|j| 50.0 + apart * ((i * 31 + j * 17) % 23) as f32).collect()
        };
        let mut rows: Vec<Vec<f32>> = (0..12).map(row).collect();
        rows.push(vec![-1e6; 700]);
        rows.rotate_right(5);
        let distances = of(&rows);
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate() {
                let (actual, expected) = (distances.matrix[i * rows.len() + j], euclidean(a, b));
                assert!((actual - expected).abs() <= 1e-6 * expected, "{i} {j}: {actual} {expected}");
            }
        }
    }

    #[test]
    fn the_nearest_others_never_include_the_update_itself() {
        let rows: [&[f32]; 4] = [&[0.0], &[0.0], &[2.0], &[7.0]];
        let distances = Distances::of(&Updates::new(&rows, None).unwrap());
        let sums = |device| [0, 1, 2, 3, 9].map(|count| distances.sum_to_nearest(device, count));
        assert_eq!(sums(0), [0.0, 0.0, 2.0, 9.0, 9.0]);
        assert_eq!(sums(3), [0.0, 5.0, 12.0, 19.0, 19.0]);
    }

    #[test]
    fn others_come_nearest_first_and_ties_by_index() {
        let rows: [&[f32]; 4] = [&[3.0], &[0.0], &[2.0], &[4.0]];
        let distances = Distances::of(&Updates::new(&rows, None).unwrap());
        assert_eq!(distances.nearest_first(0), [(2, 1.0), (3, 1.0), (1, 3.0)]);
        assert_eq!(distances.nearest_first(4), []);
    }
}
