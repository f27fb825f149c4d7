//! Inner products of updates, each taken from the model that the round started from.

use rayon::prelude::*;

use super::distances::{CLOSE, SAFE, distance, pivot_row};
use super::gram::upper_gram;
use crate::{Gram, Updates};
use simd::{Kernel, LANES, padded, vectorized};

/// The inner products of all pairs of `updates`.
///
/// They are summed up as offsets from a pivot among the updates, where terms are small, and moved to the origin then. The
/// offsets of pairs that are close even so have the inner product that their distance implies, and those whose squares
/// leave the range of `f32` are multiplied in `f64`. So a combination whose coefficients add up to zero, such as the
/// difference of two updates, keeps the digits that its length has; and nobody who is far away takes digits from others.
pub(crate) fn gram(updates: &Updates<'_>) -> Gram {
    let devices = updates.len();
    let zeros = updates.origin().is_none().then(|| vec![0.0; updates.dimension()]);
    let origin = updates.origin().or(zeros.as_deref()).unwrap_or_default();
    // The last of the points is the origin.
    let points: Vec<&[f32]> = updates.rows().iter().copied().chain([origin]).collect();
    let pivot = updates.rows()[pivot_row(updates.rows())];
    let mut products = upper_gram(&points, pivot);
    refine(&points, pivot, &mut products);
    let product = |i: usize, j: usize| products[i.min(j) * points.len() + i.max(j)];
    let square = product(devices, devices);
    Gram::new(devices, |i, j| product(i, j) - product(i, devices) - product(j, devices) + square)
}

/// Takes the products of points, as [`upper_gram`] has them, again where that is not precise enough.
fn refine(points: &[&[f32]], pivot: &[f32], products: &mut [f64]) {
    let count = points.len();
    let squares: Vec<f64> = (0..count).map(|i| products[i * count + i]).collect();
    // The pivot itself, and what equals it, has products of exactly zero with all.
    let is_beyond: Vec<bool> = points
        .par_iter()
        .zip(&squares)
        .map(|(point, square)| !SAFE.contains(square) && point != &pivot)
        .collect();
    let refined = |i: usize, j: usize, product: f64| {
        let (norms, distance_squared) = (squares[i] + squares[j], squares[i] + squares[j] - 2.0 * product);
        if is_beyond[i] || is_beyond[j] {
            Some(Refined::Again)
        } else if i < j && distance_squared <= CLOSE * norms {
            Some(Refined::Close)
        } else {
            None
        }
    };
    products.par_chunks_exact_mut(count).enumerate().for_each(|(i, products)| {
        for j in i..count {
            match refined(i, j, products[j]) {
                None => {}
                Some(Refined::Again) => products[j] = product_from(points[i], points[j], pivot),
                Some(Refined::Close) => {
                    let distance = distance(points[i], points[j]);
                    products[j] = 0.5 * (squares[i] + squares[j] - distance * distance);
                }
            }
        }
    });
}

/// How a product becomes precise.
enum Refined {
    /// It is taken again in `f64`.
    Again,
    /// It follows from the distance.
    Close,
}

/// The inner product of each of `updates` with `other`, d values: from the origin, in `f64`.
pub(crate) fn products_with(updates: &Updates<'_>, other: &[f32]) -> Vec<f64> {
    let origin = updates.origin().map_or(0.0, |origin| product(origin, other));
    updates.rows().par_iter().map(|row| product(row, other) - origin).collect()
}

/// The inner product of two vectors of one length, in `f64`.
pub(crate) fn product(a: &[f32], b: &[f32]) -> f64 {
    vectorized(Product { a, b, pivot: None })
}

fn product_from(a: &[f32], b: &[f32], pivot: &[f32]) -> f64 {
    vectorized(Product { a, b, pivot: Some(pivot) })
}

/// The inner product of two vectors, both taken from a third, in `f64`: sixteen sums of every sixteenth column.
struct Product<'a> {
    a: &'a [f32],
    b: &'a [f32],
    pivot: Option<&'a [f32]>,
}

impl Kernel for Product<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let ((a, a_rest), (b, b_rest)) = (self.a.as_chunks::<LANES>(), self.b.as_chunks::<LANES>());
        if let Some(pivot) = self.pivot {
            let (pivot, pivot_rest) = pivot.as_chunks::<LANES>();
            for ((a, b), pivot) in a.iter().zip(b).zip(pivot) {
                add_products_from(&mut sums, a, b, pivot);
            }
            add_products_from(&mut sums, &padded(a_rest), &padded(b_rest), &padded(pivot_rest));
        } else {
            for (a, b) in a.iter().zip(b) {
                add_products(&mut sums, a, b);
            }
            add_products(&mut sums, &padded(a_rest), &padded(b_rest));
        }
        sums.iter().sum()
    }
}

#[inline(always)]
fn add_products(sums: &mut [f64; LANES], a: &[f32; LANES], b: &[f32; LANES]) {
    for lane in 0..LANES {
        sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
    }
}

#[inline(always)]
fn add_products_from(sums: &mut [f64; LANES], a: &[f32; LANES], b: &[f32; LANES], pivot: &[f32; LANES]) {
    for lane in 0..LANES {
        let pivot = f64::from(pivot[lane]);
        sums[lane] += (f64::from(a[lane]) - pivot) * (f64::from(b[lane]) - pivot);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Inner products of offsets from `origin`, in `f64`.
    fn expected(rows: &[Vec<f32>], origin: &[f32], i: usize, j: usize) -> f64 {
        let offset = |row: &[f32], column: usize| f64::from(row[column]) - f64::from(origin[column]);
        (0..origin.len()).map(|column| offset(&rows[i], column) * offset(&rows[j], column)).sum()
    }

    fn of(rows: &[Vec<f32>], origin: &[f32]) -> Gram {
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        gram(&Updates::new(&rows, None).unwrap().from_origin(origin).unwrap())
    }

    /// The squared length of a combination of rows, in `f64`.
    fn squared_norm(rows: &[Vec<f32>], origin: &[f32], coefficients: &[f64]) -> f64 {
        let value = |column: usize| -> f64 {
            let offset = |row: &[f32]| f64::from(row[column]) - f64::from(origin[column]);
            rows.iter().zip(coefficients).map(|(row, coefficient)| coefficient * offset(row)).sum()
        };
        (0..origin.len()).map(|column| value(column).powi(2)).sum()
    }

    #[test]
    fn products_are_taken_from_the_origin() {
        let rows = [vec![2.0, 3.0], vec![4.0, 1.0], vec![1.0, 1.0]];
        let gram = of(&rows, &[1.0, 1.0]);
        assert_eq!([gram.row(0), gram.row(1), gram.row(2)], [[5.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0; 3]]);
    }

    proptest! {
        #[test]
        fn products_are_those_in_64_bits_to_a_millionth_of_the_lengths(
            (rows, origin) in (2..9_usize, 1..600_usize).prop_flat_map(|(m, d)| {
                (vec(vec(-1.0..1.0_f32, d), m), vec(-1.0..1.0_f32, d))
            }),
            scale in -12..12_i32,
        ) {
            let scale = 10.0_f32.powi(scale);
            let rows: Vec<Vec<f32>> = rows.iter().map(|row| row.iter().map(|v| v * scale).collect()).collect();
            let origin: Vec<f32> = origin.iter().map(|v| v * scale).collect();
            let gram = of(&rows, &origin);
            for i in 0..rows.len() {
                for j in 0..rows.len() {
                    let bound = 1e-6 * (expected(&rows, &origin, i, i) * expected(&rows, &origin, j, j)).sqrt();
                    let off = (gram.product(i, j) - expected(&rows, &origin, i, j)).abs();
                    // What is next to the origin is measured from a pivot farther away.
                    let pivot = 1e-6 * rows.iter().enumerate().map(|(k, _)| expected(&rows, &origin, k, k)).fold(0.0, f64::max);
                    prop_assert!(off <= bound.max(pivot), "{off} {bound}");
                }
            }
        }
    }

    /// A cluster of which some are hardly apart, and two that are as far away as an `f32` can be, or nearly.
    #[test]
    fn near_ones_keep_their_distances_and_far_ones_their_shares() {
        let row = |i: usize| -> Vec<f32> {
            let apart = [1.0, 1e-3, 1e-5][i % 3];
            (0..700).map(|j| 50.0 + apart * ((i * 31 + j * 17) % 23) as f32).collect()
        };
        let mut rows: Vec<Vec<f32>> = (0..12).map(row).collect();
        rows.push((0..700).map(|j| if j % 2 == 0 { 1e30 } else { -1e30 }).collect());
        rows.push((0..700).map(|j| 1e5 * (j % 7) as f32).collect());
        rows.rotate_right(5);
        let origin = vec![49.0; 700];
        let gram = of(&rows, &origin);
        for i in 0..rows.len() {
            for j in 0..i {
                let mut difference = vec![0.0; rows.len()];
                (difference[i], difference[j]) = (1.0, -1.0);
                let expected = squared_norm(&rows, &origin, &difference);
                let off = (gram.squared_distance(i, j) - expected).abs();
                assert!(off <= 1e-5 * expected, "{i} {j}: {} {expected}", gram.squared_distance(i, j));
            }
        }
        // Each counts by one over its distance, as in a geometric median.
        let mut weights: Vec<f64> = (0..rows.len()).map(|i| 1.0 / gram.norm(i)).collect();
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        let expected = squared_norm(&rows, &origin, &weights);
        assert!((gram.squared_norm(&weights) - expected).abs() <= 1e-6 * expected);
    }

    #[test]
    fn products_with_another_vector_are_from_the_origin_too() {
        let rows: [&[f32]; 2] = [&[2.0, 3.0], &[1.0, -1.0]];
        let updates = Updates::new(&rows, None).unwrap().from_origin(&[1.0, 1.0]).unwrap();
        assert_eq!(products_with(&updates, &[10.0, 1.0]), [12.0, -2.0]);
    }
}
