//! What the coordinate-wise rules share: one walk over the columns of the update matrix.

use rayon::prelude::*;

use super::Updates;
use crate::simd::{Kernel, vectorized};

/// Columns worked on at once: one vector register of AVX-512, two of AVX2, four of NEON.
pub(super) const LANES: usize = 16;

/// One value of each of [`LANES`] columns.
pub(super) type Lanes = [f32; LANES];

/// Columns copied at a time: 100 devices' worth (25 KiB) fits a first-level cache, and each row is still read in whole
/// cache lines.
pub(super) const BLOCK: usize = 4 * LANES;

/// What is computed from columns.
pub(super) trait Statistic: Sync {
    /// Number of values computed from each column.
    fn results(&self) -> usize {
        1
    }

    /// Takes columns as one row per device, in device order, to reorder at will, and writes one row per result.
    ///
    /// Lanes must not influence each other: some may hold no column. Mark it, and all that it calls,
    /// `#[inline(always)]`: see [`Kernel`].
    fn compute(&self, columns: &mut [Lanes], results: &mut [Lanes]);
}

/// The results of `statistic` for each column, as so many vectors of d values.
pub(super) fn map_columns(updates: &Updates<'_>, statistic: &impl Statistic) -> Vec<Vec<f32>> {
    let (devices, results) = (updates.len(), statistic.results());
    let mut vectors = vec![vec![0.0; updates.dimension()]; results];
    let mut blocks: Vec<Vec<&mut [f32]>> = Vec::new();
    blocks.resize_with(updates.dimension().div_ceil(BLOCK), || Vec::with_capacity(results));
    for vector in &mut vectors {
        for (block, piece) in blocks.iter_mut().zip(vector.chunks_mut(BLOCK)) {
            block.push(piece);
        }
    }
    blocks.into_par_iter().with_min_len(8).enumerate().for_each_init(
        || (vec![[0.0; LANES]; BLOCK / LANES * devices], vec![[0.0; LANES]; results]),
        |(columns, row_per_result), (block, mut pieces)| {
            let length = pieces.first().map_or(0, |piece| piece.len());
            for (device, row) in updates.rows().iter().enumerate() {
                let values = &row[block * BLOCK..][..length];
                for (group, values) in columns.chunks_exact_mut(devices).zip(values.chunks(LANES)) {
                    group[device][..values.len()].copy_from_slice(values);
                }
            }
            let groups = columns.chunks_exact_mut(devices).take(length.div_ceil(LANES));
            for (group, columns) in groups.enumerate() {
                vectorized(Computation { statistic, columns, results: row_per_result });
                for (piece, values) in pieces.iter_mut().zip(&*row_per_result) {
                    let piece = &mut piece[group * LANES..];
                    let length = piece.len().min(LANES);
                    piece[..length].copy_from_slice(&values[..length]);
                }
            }
        },
    );
    vectors
}

/// The only result of `statistic` for each column: d values.
pub(super) fn map_columns_to_one(updates: &Updates<'_>, statistic: &impl Statistic) -> Vec<f32> {
    map_columns(updates, statistic).pop().unwrap_or_default()
}

struct Computation<'a, S> {
    statistic: &'a S,
    columns: &'a mut [Lanes],
    results: &'a mut [Lanes],
}

impl<S: Statistic> Kernel for Computation<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.statistic.compute(self.columns, self.results);
    }
}

/// Mean of each column, summed in `f64` in the order of the rows; a mean of zeros is +0.
#[inline(always)]
pub(super) fn mean(rows: &[Lanes]) -> Lanes {
    let mut sums = [0.0; LANES];
    for row in rows {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    let count = rows.len() as f64;
    sums.map(|sum: f64| (sum / count) as f32)
}

/// Mean of two values in each lane; of two zeros it is +0.
#[inline(always)]
pub(super) fn midpoint(a: &Lanes, b: &Lanes) -> Lanes {
    mean(&[*a, *b])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first of three values, and the second if the third is so much larger.
    struct Odd;

    impl Statistic for Odd {
        fn results(&self) -> usize {
            2
        }

        fn compute(&self, columns: &mut [Lanes], results: &mut [Lanes]) {
            for lane in 0..LANES {
                let [first, second, third] = [0, 1, 2].map(|device| columns[device][lane]);
                results[0][lane] = first;
                results[1][lane] = if third - second == 10_000.0 { second } else { -1.0 };
            }
        }
    }

    #[test]
    fn each_column_arrives_whole_and_in_device_order() {
        for dimension in [0, 1, LANES, LANES + 1, BLOCK - 1, BLOCK, 9 * BLOCK + 1] {
            let rows: Vec<Vec<f32>> = (0..3_u16)
                .map(|device| (0..dimension).map(|j| f32::from(device) * 10_000.0 + j as f32).collect())
                .collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let updates = Updates::new(&rows, None).unwrap();
            let vectors = map_columns(&updates, &Odd);
            assert_eq!(vectors[0], (0..dimension).map(|j| j as f32).collect::<Vec<_>>());
            assert_eq!(vectors[1], (0..dimension).map(|j| j as f32 + 10_000.0).collect::<Vec<_>>());
        }
    }
}
