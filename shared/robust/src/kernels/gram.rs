//! The products of all pairs of rows of a matrix: half of a matrix product, since it is symmetric.

use std::iter;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::prefetch::Prefetch;
use simd::{Kernel, LANES, Lanes, one_at_a_time, padded, parts, vectorized, vectors, vectors_mut};

/// Rows of a tile: the products of the rows of two tiles are gathered together, so that each value read counts for so
/// many of them.
const TILE: usize = 4;

/// Vectors of a row in a panel: the columns that are gone through at a time. Each partial sum in `f32` is of so many
/// products; panels are added up in `f64`. Two tiles of a panel fit a first-level cache.
const PANEL: usize = 64;

/// Tiles that all are multiplied with before the next ones: their part of a panel fits a second-level cache.
const STRIPE: usize = 32;

/// Up to so many rows, each thread takes panels of its own: the products of one are too few to be shared out.
const FEW: usize = 256;

/// Panels that a thread goes through before the products of all threads are added up.
const SHARE: usize = 4;

/// So many tiles at least for a thread: none is handed to another, nor is any asked.
const ALL: usize = usize::MAX;

/// The rows of a tile in a panel, side by side: they are gone through together.
type Tile = [[Lanes; TILE]];

/// For each pair i <= j of `rows`, the product of rows i and j, both taken from `origin`, at `i * m + j` of the result;
/// zeros elsewhere. All rows, `origin` too, are of one length.
///
/// The order of sums depends on that length alone, so the result is the same whatever the number of threads, and two
/// rows of equal values have equal products with a third.
pub(crate) fn upper_gram(rows: &[&[f32]], origin: &[f32]) -> Vec<f64> {
    let starts: Vec<usize> = (0..origin.len()).step_by(PANEL * LANES).collect();
    let mut products = vec![0.0; rows.len() * rows.len()];
    let threads = rayon::current_num_threads();
    if threads > 1 && starts.len() > 1 && rows.len() <= FEW {
        add_panels_of_threads(rows, origin, &starts, &mut products);
    } else {
        let mut panel = Panel::new(rows, origin, if threads > 1 { 1 } else { ALL });
        for start in starts {
            panel.fill(start);
            panel.add_products(&mut products);
        }
    }
    products
}

/// Adds the products of the panels at `starts`, each thread going through some of them; in order, whoever has which.
fn add_panels_of_threads(rows: &[&[f32]], origin: &[f32], starts: &[usize], products: &mut [f64]) {
    let threads = rayon::current_num_threads().min(starts.len());
    let mut workers: Vec<Worker<'_>> = Vec::new();
    workers.resize_with(threads, || Worker { panel: Panel::new(rows, origin, ALL), products: Vec::new() });
    for starts in starts.chunks(threads * SHARE) {
        let shares = starts.chunks(starts.len().div_ceil(threads)).chain(iter::repeat(&[][..]));
        let shares: Vec<(&mut Worker<'_>, &[usize])> = workers.iter_mut().zip(shares).collect();
        shares.into_par_iter().for_each(|(worker, starts)| worker.go_through(starts));
        products.par_chunks_mut(rows.len()).enumerate().for_each(|(row, sums)| {
            for products in workers.iter().flat_map(|worker| &worker.products) {
                for (sum, product) in sums.iter_mut().zip(&products[row * rows.len()..]) {
                    *sum += product;
                }
            }
        });
    }
}

/// What a thread needs to go through panels alone.
struct Worker<'a> {
    panel: Panel<'a>,
    /// Those of each panel that it has gone through.
    products: Vec<Vec<f64>>,
}

impl Worker<'_> {
    fn go_through(&mut self, starts: &[usize]) {
        let devices = self.panel.rows.len();
        self.products.resize_with(starts.len(), || vec![0.0; devices * devices]);
        for (&start, products) in starts.iter().zip(&mut self.products) {
            products.fill(0.0);
            self.panel.fill(start);
            self.panel.add_products(products);
        }
    }
}

/// Some columns of all rows, in tiles.
struct Panel<'a> {
    rows: &'a [&'a [f32]],
    origin: &'a [f32],
    /// One after the other, each of `length` vectors.
    tiles: Vec<[Lanes; TILE]>,
    length: usize,
    /// Tiles that a thread works on at least.
    fewest: usize,
    /// Whole vectors of columns that it holds; the rest is rubbish.
    vectors: usize,
}

impl<'a> Panel<'a> {
    fn new(rows: &'a [&'a [f32]], origin: &'a [f32], fewest: usize) -> Self {
        let length = origin.len().div_ceil(LANES).min(PANEL);
        let tiles = vec![[Lanes::ZERO; TILE]; rows.len().div_ceil(TILE) * length];
        Panel { rows, origin, tiles, length, fewest, vectors: 0 }
    }

    /// Takes the columns from `start` on.
    fn fill(&mut self, start: usize) {
        let origin = &self.origin[start..(start + PANEL * LANES).min(self.origin.len())];
        self.vectors = origin.len().div_ceil(LANES);
        let tiles = self.tiles.par_chunks_exact_mut(self.length).enumerate().with_min_len(self.fewest);
        tiles.for_each(|(number, tile)| {
            for (place, row) in (number * TILE..self.rows.len()).take(TILE).enumerate() {
                let prefetch = Prefetch::of(&self.rows[row + 1..], start, origin.len());
                let row = &self.rows[row][start..][..origin.len()];
                vectorized(Offsets { row, prefetch, origin, tile, place });
            }
        });
    }

    /// Adds the products of the columns that it holds.
    fn add_products(&self, products: &mut [f64]) {
        for stripe in self.stripes() {
            let tiles = products.par_chunks_mut(TILE * self.rows.len()).enumerate().with_min_len(self.fewest);
            tiles.for_each(|(tile, products)| self.add_products_with(stripe.clone(), tile, products));
        }
    }

    /// The tiles that all are multiplied with before the next ones.
    fn stripes(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let tiles = self.rows.len().div_ceil(TILE);
        (0..tiles).step_by(STRIPE).map(move |first| first..(first + STRIPE).min(tiles))
    }

    /// Adds the products of the rows of a tile with those of a stripe that do not come before them.
    fn add_products_with(&self, stripe: Range<usize>, tile: usize, products: &mut [f64]) {
        let columns = tile.max(stripe.start)..stripe.end;
        if !columns.is_empty() {
            let (rows, first) = (&self.tiles[tile * self.length..][..self.vectors], columns.start * TILE);
            let columns = &self.tiles[columns.start * self.length..columns.end * self.length];
            let (length, devices) = (self.length, self.rows.len());
            Arch::new().dispatch(TileProducts { rows, columns, length, first, devices, products });
        }
    }
}

/// Part of a row less that of the origin, filled up with zeros to a whole vector, as one row of a tile.
struct Offsets<'a> {
    row: &'a [f32],
    /// The row that comes next.
    prefetch: Prefetch<'a>,
    origin: &'a [f32],
    tile: &'a mut Tile,
    place: usize,
}

impl Kernel for Offsets<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let ((row, row_rest), (origin, origin_rest)) =
            (self.row.as_chunks::<LANES>(), self.origin.as_chunks::<LANES>());
        let mut vectors = self.tile.iter_mut().map(|rows| &mut rows[self.place]);
        for ((row, origin), vector) in row.iter().zip(origin).zip(&mut vectors) {
            self.prefetch.fetch_line();
            *vector = difference(&one_at_a_time(row), origin);
        }
        if let (false, Some(vector)) = (row_rest.is_empty(), vectors.next()) {
            *vector = difference(&padded(row_rest), &padded(origin_rest));
        }
    }
}

#[inline(always)]
fn difference(a: &[f32; LANES], b: &[f32; LANES]) -> Lanes {
    let mut difference = Lanes::ZERO;
    for lane in 0..LANES {
        difference[lane] = a[lane] - b[lane];
    }
    difference
}

/// Adds the products of a tile of rows with those in `columns`, the first of which is row `first` of all, to
/// `products`, one row of all `devices` for each row of the tile.
struct TileProducts<'a> {
    rows: &'a Tile,
    /// Of `length` vectors each.
    columns: &'a Tile,
    length: usize,
    first: usize,
    devices: usize,
    products: &'a mut [f64],
}

impl WithSimd for TileProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let tiles = self.columns.chunks_exact(self.length);
        for (column, columns) in (self.first..).step_by(TILE).zip(tiles) {
            let sums = totals(&tile_products(simd, self.rows, columns));
            for (row, sums) in self.products.chunks_exact_mut(self.devices).zip(sums) {
                for (product, sum) in row[column..].iter_mut().zip(sums) {
                    *product += sum;
                }
            }
        }
    }
}

/// The products of each row of one tile with each of the other, lane by lane.
///
/// Written with the machine's own vectors: what the compiler makes of plain loops over so many lanes changes with every
/// word of them.
#[inline(always)]
fn tile_products<S: Simd>(simd: S, rows: &Tile, columns: &Tile) -> [[Lanes; TILE]; TILE] {
    let mut products = [[Lanes::ZERO; TILE]; TILE];
    for part in parts::<S>() {
        let mut sums = [[simd.splat_f32s(0.0); TILE]; TILE];
        for (rows, columns) in rows.iter().zip(columns) {
            let columns = columns.each_ref().map(|column| vectors::<S>(column)[part]);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let row = vectors::<S>(row)[part];
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = simd.mul_add_f32s(row, column, *sum);
                }
            }
        }
        for (products, sums) in products.iter_mut().zip(sums) {
            for (product, sum) in products.iter_mut().zip(sums) {
                vectors_mut::<S>(product)[part] = sum;
            }
        }
    }
    products
}

/// The sums of all lanes: half is added to half, until one is left.
#[inline(always)]
fn totals(sums: &[[Lanes; TILE]; TILE]) -> [[f64; TILE]; TILE] {
    let mut eight = [[[0.0; 8]; TILE]; TILE];
    for (eight, sums) in eight.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
        let sums = one_at_a_time(sums);
        for lane in 0..8 {
            eight[lane] = f64::from(sums[lane]) + f64::from(sums[lane + 8]);
        }
    }
    let mut four = [[[0.0; 4]; TILE]; TILE];
    for (four, eight) in four.as_flattened_mut().iter_mut().zip(eight.as_flattened()) {
        let eight = one_at_a_time(eight);
        for lane in 0..4 {
            four[lane] = eight[lane] + eight[lane + 4];
        }
    }
    let mut totals = [[0.0; TILE]; TILE];
    for (total, four) in totals.as_flattened_mut().iter_mut().zip(four.as_flattened()) {
        let four = one_at_a_time(four);
        *total = (four[0] + four[2]) + (four[1] + four[3]);
    }
    totals
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
        for (devices, dimension) in shapes.into_iter().chain([(TILE * STRIPE + 3, 40)]) {
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
        for (devices, dimension) in [(37, 3_000), (9, 20_000), (FEW + 5, 1_100)] {
            let rows: Vec<Vec<f32>> = rows(devices, dimension)
                .iter()
                .map(|row| row.iter().map(|value| value / 3.0).collect())
                .collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| upper_gram(&rows, rows[0]))
            };
            let one = with(1);
            for threads in 2..5 {
                assert_eq!(one, with(threads), "{devices} x {dimension} on {threads} threads");
            }
        }
    }
}
