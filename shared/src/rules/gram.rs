//! The products of all pairs of rows of a matrix: half of a matrix product, for it is symmetric.

use std::hint::black_box;

use rayon::prelude::*;

use crate::simd::{Kernel, LANES, Lanes, padded, vectorized};

/// Rows of a tile: the products of the rows of two tiles are gathered together, so that each value read counts for so
/// many of them.
const TILE: usize = 4;

/// Vectors of a row in a panel: the columns that are gone through at a time. Each partial sum in `f32` is of so many
/// products; panels are added up in `f64`.
const PANEL: usize = 64;

/// Rows that all tiles are multiplied with before the next ones: their part of a panel fits a second-level cache.
const STRIPE: usize = 32 * TILE;

/// For each pair i <= j of `rows`, the product of rows i and j, both taken from `origin`, at `i * m + j` of the result;
/// zeros elsewhere. All rows, `origin` too, are of one length.
///
/// The order of sums depends on that length alone, so the result is the same whatever the number of threads, and two
/// rows of equal values have equal products with a third.
pub(super) fn upper_gram(rows: &[&[f32]], origin: &[f32]) -> Vec<f64> {
    let devices = rows.len();
    let mut products = vec![0.0; devices * devices];
    let mut panel = vec![[Lanes::ZERO; PANEL]; devices.next_multiple_of(TILE)];
    for start in (0..origin.len()).step_by(PANEL * LANES) {
        let origin = &origin[start..(start + PANEL * LANES).min(origin.len())];
        panel.par_iter_mut().zip(rows).for_each(|(vectors, row)| {
            vectorized(Offsets { row: &row[start..][..origin.len()], origin, vectors });
        });
        let vectors = origin.len().div_ceil(LANES);
        for (stripe, columns) in panel.chunks(STRIPE).enumerate() {
            let tiles = panel.par_chunks(TILE).zip(products.par_chunks_mut(TILE * devices)).enumerate();
            tiles.for_each(|(tile, (rows, products))| {
                let first = (tile * TILE).max(stripe * STRIPE);
                if let Some(columns) = columns.get(first - stripe * STRIPE..) {
                    vectorized(TileProducts { rows, columns, first, vectors, devices, products });
                }
            });
        }
    }
    products
}

/// Part of a row less that of the origin, filled up with zeros to a whole vector.
struct Offsets<'a> {
    row: &'a [f32],
    origin: &'a [f32],
    vectors: &'a mut [Lanes; PANEL],
}

impl Kernel for Offsets<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let parts = self.row.chunks(LANES).zip(self.origin.chunks(LANES));
        for (place, (row, origin)) in self.vectors.iter_mut().zip(parts) {
            let (row, origin): ([f32; LANES], [f32; LANES]) = (padded(row), padded(origin));
            for lane in 0..LANES {
                place[lane] = row[lane] - origin[lane];
            }
        }
    }
}

/// Adds the products of a tile of rows with those in `columns`, the first of which is row `first` of all, to
/// `products`, one row of all `devices` for each row of the tile.
struct TileProducts<'a> {
    rows: &'a [[Lanes; PANEL]],
    columns: &'a [[Lanes; PANEL]],
    first: usize,
    vectors: usize,
    devices: usize,
    products: &'a mut [f64],
}

impl Kernel for TileProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Ok(rows) = <&[_; TILE]>::try_from(self.rows) else { return };
        for (column, columns) in (self.first..).step_by(TILE).zip(self.columns.as_chunks::<TILE>().0) {
            let sums = tile_products(rows, columns, self.vectors);
            for (row, sums) in self.products.chunks_exact_mut(self.devices).zip(sums) {
                for (product, sum) in row[column..].iter_mut().zip(sums) {
                    *product += sum;
                }
            }
        }
    }
}

/// The products of each row of one tile with each of the other.
#[inline(always)]
fn tile_products(
    rows: &[[Lanes; PANEL]; TILE],
    columns: &[[Lanes; PANEL]; TILE],
    vectors: usize,
) -> [[f64; TILE]; TILE] {
    let mut sums = [[Lanes::ZERO; TILE]; TILE];
    for vector in 0..vectors.min(PANEL) {
        for i in 0..TILE {
            for j in 0..TILE {
                for lane in 0..LANES {
                    let (a, b) = (rows[i][vector][lane], columns[j][vector][lane]);
                    sums[i][j][lane] = a.mul_add(b, sums[i][j][lane]);
                }
            }
        }
    }
    let mut totals = [[0.0; TILE]; TILE];
    for i in 0..TILE {
        for j in 0..TILE {
            totals[i][j] = total(&sums[i][j]);
        }
    }
    totals
}

/// The sum of all lanes.
#[inline(always)]
fn total(lanes: &Lanes) -> f64 {
    let mut sums = [0.0; LANES / 2];
    for lane in 0..LANES / 2 {
        sums[lane] = f64::from(lanes[lane]) + f64::from(lanes[lane + LANES / 2]);
    }
    // The compiler must not see through this, or it gathers the first lanes of all products, then the second ones, ...
    let sums = black_box(sums);
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, whose products and sums are exact.
    fn rows(devices: usize, dimension: usize) -> Vec<Vec<f32>> {
        let value = |i: usize, j: usize| ((i * 7 + j * 13 + i * j) % 11) as f32 - 5.0;
        (0..devices).map(|i| (0..dimension).map(|j| value(i, j)).collect()).collect()
    }

    #[test]
    fn it_is_the_product_of_every_pair_whatever_the_shape() {
        let panel = PANEL * LANES;
        let shapes =
            [(1, 1), (2, 0), (3, 5), (4, 16), (5, 17), (9, panel), (6, panel + 1), (7, 2 * panel + 33)];
        for (devices, dimension) in shapes.into_iter().chain([(STRIPE + 3, 40)]) {
            let rows = rows(devices, dimension);
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let origin: Vec<f32> = (0..dimension).map(|j| (j % 3) as f32).collect();
            let actual = upper_gram(&rows, &origin);
            for i in 0..devices {
                for j in 0..devices {
                    let terms = rows[i].iter().zip(rows[j]).zip(&origin).map(|((a, b), o)| (a - o) * (b - o));
                    let expected = if i <= j { terms.map(f64::from).sum() } else { actual[i * devices + j] };
                    assert_eq!(actual[i * devices + j], expected, "{i} {j} of {devices} x {dimension}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let rows: Vec<Vec<f32>> =
            rows(37, 3000).iter().map(|row| row.iter().map(|value| value / 3.0).collect()).collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| upper_gram(&rows, rows[0]))
        };
        assert_eq!(with(1), with(3));
    }
}
