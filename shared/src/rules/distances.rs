//! Euclidean distances between updates: what Krum, and an attack on it, are built on.

use rayon::prelude::*;

use super::Updates;

/// Partial sums that one distance is gathered in, so that the compiler can use vector instructions without
/// the result depending on which.
const LANES: usize = 8;

/// The distances between all pairs of m updates: Euclidean and not squared (the paper's D).
#[derive(Clone, Debug, PartialEq)]
pub struct Distances {
    devices: usize,
    /// Row-major m x m, symmetric, zeros on the diagonal.
    matrix: Vec<f64>,
}

impl Distances {
    /// Computes the distances; m (m - 1) / 2 sums of d squares, in `f64`.
    pub fn of(updates: &Updates<'_>) -> Self {
        let rows = updates.rows();
        let devices = rows.len();
        let upper_triangle: Vec<Vec<f64>> = (0..devices)
            .into_par_iter()
            .map(|i| rows[i + 1..].iter().map(|other| euclidean(rows[i], other)).collect())
            .collect();
        let mut matrix = vec![0.0; devices * devices];
        for (i, distances) in upper_triangle.into_iter().enumerate() {
            for (j, distance) in (i + 1..).zip(distances) {
                matrix[i * devices + j] = distance;
                matrix[j * devices + i] = distance;
            }
        }
        Distances { devices, matrix }
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

/// Euclidean distance of two vectors of one length.
fn euclidean(a: &[f32], b: &[f32]) -> f64 {
    let square = |(&x, &y): (&f32, &f32)| (f64::from(x) - f64::from(y)).powi(2);
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(square).sum();
    let mut lanes = [0.0; LANES];
    for (a, b) in a_chunks.zip(b_chunks) {
        for (lane, pair) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += square(pair);
        }
    }
    (lanes.iter().sum::<f64>() + rest).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_euclidean_and_not_squared() {
        let rows: [&[f32]; 3] = [&[0.0, 0.0], &[3.0, 4.0], &[0.0, 1.0]];
        let distances = Distances::of(&Updates::new(&rows, None).unwrap());
        let eighteen = 18.0_f64.sqrt();
        assert_eq!(distances.matrix, [0.0, 5.0, 1.0, 5.0, 0.0, eighteen, 1.0, eighteen, 0.0]);
    }

    #[test]
    fn every_coordinate_counts_whatever_the_length() {
        for length in 0..3 * LANES {
            let (zeros, ones) = (vec![0.0; length], vec![1.0; length]);
            assert_eq!(euclidean(&zeros, &ones), (length as f64).sqrt());
        }
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        assert_eq!(euclidean(&[f32::MAX], &[-f32::MAX]), 2.0 * f64::from(f32::MAX));
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
