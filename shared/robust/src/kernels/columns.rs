//! What the coordinate-wise rules share: one pass over the columns of the update matrix.

use rayon::prelude::*;

use super::prefetch::Prefetch;
use crate::Updates;
use simd::{Kernel, padded, vectorized};
pub(crate) use simd::{LANES, Lanes};

/// One value of each column of `S` strips, which are [`LANES`] columns each.
pub(crate) type Strips<const S: usize> = [Lanes; S];

/// Strips worked on at once where a first-level cache holds them all, as with 100 devices (25 KiB): each step of a
/// sorting network then serves four vectors.
const WIDE: usize = 4;

/// Devices beyond which the columns of so many strips outgrow a first-level cache, so that one is worked on at a time.
/// Then places are found without sorting, too.
pub(crate) const WIDE_UP_TO: usize = 160;

/// Columns that are taken apart at a time.
pub(crate) const BLOCK: usize = WIDE * LANES;

/// Columns that a thread takes at a time.
const STRETCH: usize = 8 * BLOCK;

/// What is computed from columns.
pub(crate) trait Statistic: Sync {
    /// Number of values computed from each column.
    fn results(&self) -> usize {
        1
    }

    /// Takes columns as one row per device, in device order, to reorder at will, and writes one row per result. Has what
    /// is `prefetch` fetched in the meantime.
    ///
    /// Lanes must not influence each other: some may hold no column. Mark it, and all that it calls,
    /// `#[inline(always)]`: see [`Kernel`].
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        prefetch: Prefetch<'_>,
    );
}

/// The results of `statistic` for each column, as so many vectors of d values, in the memory of those that there are.
pub(crate) fn map_columns(updates: &Updates<'_>, statistic: &impl Statistic, vectors: &mut Vec<Vec<f32>>) {
    give_shape(vectors, statistic.results(), updates.dimension());
    if updates.len() <= WIDE_UP_TO {
        map_strips::<WIDE>(updates, statistic, vectors);
    } else {
        map_strips::<1>(updates, statistic, vectors);
    }
}

/// Makes the vectors `count` of `length` values, which are to be overwritten: where there is one, its values stay.
pub(crate) fn give_shape(vectors: &mut Vec<Vec<f32>>, count: usize, length: usize) {
    vectors.resize_with(count, Vec::new);
    for vector in vectors.iter_mut().filter(|vector| vector.len() != length) {
        *vector = vec![0.0; length];
    }
}

/// [`map_columns`], `S` strips at a time.
fn map_strips<const S: usize>(updates: &Updates<'_>, statistic: &impl Statistic, vectors: &mut [Vec<f32>]) {
    let (devices, results) = (updates.len(), statistic.results());
    blocks_of(vectors, STRETCH).into_par_iter().enumerate().for_each_init(
        || (vec![[Lanes::ZERO; S]; BLOCK / LANES / S * devices], vec![[Lanes::ZERO; S]; results]),
        |(columns, row_per_result), (stretch, mut pieces)| {
            let whole = pieces.first().map_or(0, |piece| piece.len());
            for offset in (0..whole).step_by(BLOCK) {
                let (start, length) = (stretch * STRETCH + offset, BLOCK.min(whole - offset));
                vectorized(Gathering { rows: updates.rows(), start, length, columns });
                let groups = columns.chunks_exact_mut(devices).take(length.div_ceil(S * LANES));
                for (columns, of_block) in groups.zip((0..).step_by(S * LANES)) {
                    let prefetch = Prefetch::of(updates.rows(), start + BLOCK + of_block, S * LANES);
                    let start = offset + of_block;
                    let prefetch = prefetch.and_of(&pieces, start, S * LANES);
                    vectorized(Computation { statistic, columns, results: row_per_result, prefetch });
                    vectorized(Scattering { results: row_per_result, pieces: &mut pieces, start });
                }
            }
        },
    );
}

/// The same columns of all `vectors`, so many at a time.
pub(crate) fn blocks_of(vectors: &mut [Vec<f32>], columns: usize) -> Vec<Vec<&mut [f32]>> {
    let count = vectors.first().map_or(0, |vector| vector.len().div_ceil(columns));
    let mut pieces: Vec<_> = vectors.iter_mut().map(|vector| vector.chunks_mut(columns)).collect();
    (0..count).map(|_| pieces.iter_mut().map(|pieces| pieces.next().unwrap_or_default()).collect()).collect()
}

/// The only result of `statistic` for each column: d values.
pub(crate) fn map_columns_to_one(updates: &Updates<'_>, statistic: &impl Statistic) -> Vec<f32> {
    let mut vectors = Vec::new();
    map_columns(updates, statistic, &mut vectors);
    vectors.pop().unwrap_or_default()
}

/// Takes some columns of all rows apart: for each group of strips, one row per device.
struct Gathering<'a, const S: usize> {
    rows: &'a [&'a [f32]],
    start: usize,
    length: usize,
    columns: &'a mut [Strips<S>],
}

impl<const S: usize> Kernel for Gathering<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let devices = self.rows.len();
        for (device, row) in self.rows.iter().enumerate() {
            let (whole, rest) = row[self.start..][..self.length].as_chunks::<LANES>();
            for (strip, values) in whole.iter().enumerate() {
                self.columns[strip / S * devices + device][strip % S] = Lanes(*values);
            }
            if !rest.is_empty() {
                let strip = whole.len();
                self.columns[strip / S * devices + device][strip % S] = Lanes(padded(rest));
            }
        }
    }
}

/// Writes results to their places in all pieces, from `start` on; as many as there are places left.
struct Scattering<'a, 'p, const S: usize> {
    results: &'a [Strips<S>],
    pieces: &'a mut [&'p mut [f32]],
    start: usize,
}

impl<const S: usize> Kernel for Scattering<'_, '_, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (piece, result) in self.pieces.iter_mut().zip(self.results) {
            let (whole, rest) = piece[self.start..].as_chunks_mut::<LANES>();
            if let Some(strip) = result.get(whole.len()) {
                rest.copy_from_slice(&strip[..rest.len()]);
            }
            for (values, strip) in whole.iter_mut().zip(result) {
                *values = **strip;
            }
        }
    }
}

struct Computation<'a, T, const S: usize> {
    statistic: &'a T,
    columns: &'a mut [Strips<S>],
    results: &'a mut [Strips<S>],
    prefetch: Prefetch<'a>,
}

impl<T: Statistic, const S: usize> Kernel for Computation<'_, T, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.statistic.compute(self.columns, self.results, self.prefetch);
    }
}

/// Mean of each column of a strip, summed in `f64` in the order of the rows; a mean of zeros is +0.
#[inline(always)]
pub(crate) fn mean<const S: usize>(rows: &[Strips<S>], strip: usize) -> Lanes {
    let mut sums = [0.0; LANES];
    for row in rows {
        add(&mut sums, &row[strip]);
    }
    let count = rows.len() as f64;
    Lanes(sums.map(|sum: f64| (sum / count) as f32))
}

/// Adds the value of each lane to its sum.
#[inline(always)]
pub(crate) fn add(sums: &mut [f64; LANES], values: &Lanes) {
    for lane in 0..LANES {
        sums[lane] += f64::from(values[lane]);
    }
}

/// Mean of two values in each lane; of two zeros it is +0.
#[inline(always)]
pub(crate) fn midpoint(a: &Lanes, b: &Lanes) -> Lanes {
    mean(&[[*a], [*b]], 0)
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

        fn compute<const S: usize>(
            &self,
            columns: &mut [Strips<S>],
            results: &mut [Strips<S>],
            _: Prefetch<'_>,
        ) {
            for (strip, lane) in (0..S).flat_map(|strip| (0..LANES).map(move |lane| (strip, lane))) {
                let [first, second, third] = [0, 1, 2].map(|device| columns[device][strip][lane]);
                results[0][strip][lane] = first;
                results[1][strip][lane] = if third - second == 10_000.0 { second } else { -1.0 };
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
            for strips in [1, WIDE] {
                let mut vectors = vec![vec![f32::NAN; dimension]; 2];
                match strips {
                    1 => map_strips::<1>(&updates, &Odd, &mut vectors),
                    _ => map_strips::<WIDE>(&updates, &Odd, &mut vectors),
                }
                assert_eq!(vectors[0], (0..dimension).map(|j| j as f32).collect::<Vec<_>>());
                assert_eq!(vectors[1], (0..dimension).map(|j| j as f32 + 10_000.0).collect::<Vec<_>>());
            }
        }
    }
}
