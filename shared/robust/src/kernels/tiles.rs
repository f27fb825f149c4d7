//! A sorting network cut into tiles: rows that are put in order in registers, several layers of the network at once. To
//! fetch them and to write them back takes longer than to compare them.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use super::prefetch::Prefetch;
use simd::{Lanes, parts};

/// The most rows of a tile that sorts or merges.
const ROWS: usize = 16;

/// Some rows, equally far apart, and what is done with them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    work: Work,
    /// The first of the rows.
    first: usize,
    stride: usize,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    /// Sorts up to 16 rows.
    Sort,
    /// Merges up to 16 rows, of which the first eight are sorted, and so are the others.
    Merge,
    /// The last layers of a merge, so many. The first layer puts rows in order with those half a window after them: not
    /// half a window of rows, then half of one with the next half, and so on; each layer halves the window.
    Sweep(u32),
}

impl Work {
    /// Rows that a sweep works on at a time.
    fn window(self) -> Option<usize> {
        match self {
            Work::Sort | Work::Merge => None,
            Work::Sweep(layers) => Some(1 << layers),
        }
    }
}

/// Tiles that put the right values at the places that matter, one after the other.
///
/// Runs of 16 rows are sorted by Green's network, and then merged by Batcher's odd-even merge, as it is drawn for powers
/// of two (Knuth, The Art of Computer Programming, volume 3, section 5.3.4), with infinity behind the last place. A
/// merge of two runs of 8s rows merges every s-th row of both, and then sweeps over all of them.
pub(crate) fn tiles(matters: &[bool]) -> Vec<Tile> {
    let places = matters.len();
    let sort = |first| Tile { work: Work::Sort, first, stride: 1, count: ROWS.min(places - first) };
    let mut tiles: Vec<Tile> = (0..places).step_by(ROWS).map(sort).collect();
    let mut size = 2 * ROWS;
    while size / 2 < places {
        for base in (0..places - size / 2).step_by(size) {
            merge_runs(&mut tiles, base, size.min(places - base), size / ROWS);
        }
        size *= 2;
    }
    keep_needed(tiles, matters.to_vec())
}

/// Merges `rows` rows from `base` on, of which the first `8 * stride` are sorted, and so are the others.
fn merge_runs(tiles: &mut Vec<Tile>, base: usize, rows: usize, mut stride: usize) {
    let mut every = |stride: usize, work| {
        let count = |first: usize| (rows - first).div_ceil(stride);
        let tile = |first| Tile { work, first: base + first, stride, count: count(first) };
        tiles.extend((0..stride).map(tile));
    };
    every(stride, Work::Merge);
    while stride > 1 {
        let layers = (stride.trailing_zeros() - 1) % 3 + 1;
        stride >>= layers;
        every(stride, Work::Sweep(layers));
    }
}

/// Those of the tiles, or parts of them, that the places which matter depend on.
fn keep_needed(tiles: Vec<Tile>, mut matters: Vec<bool>) -> Vec<Tile> {
    let backwards = tiles.into_iter().rev();
    let mut needed: Vec<Tile> = backwards.filter_map(|tile| tile.needed(&mut matters)).collect();
    needed.reverse();
    needed
}

impl Tile {
    fn rows(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator {
        let Tile { first, stride, .. } = *self;
        (0..self.count).map(move |k| first + k * stride)
    }

    /// What is needed of the tile; all rows that it works on matter then.
    fn needed(mut self, matters: &mut [bool]) -> Option<Tile> {
        if matches!(self.work, Work::Merge) && self.count <= ROWS / 2 {
            // There is no second run.
            return None;
        }
        let least = self.rows().position(|row| matters[row])?;
        let greatest = self.rows().rposition(|row| matters[row])?;
        if let Some(window) = self.work.window() {
            // A window takes in what the one before has not finished, and leaves as much.
            let of = |row: usize| row.saturating_sub(1) / window;
            let skipped = of(least).saturating_sub(1) * window;
            self.count = self.count.min((of(greatest) + 1) * window + window / 2) - skipped;
            self.first += skipped * self.stride;
        }
        self.rows().for_each(|row| matters[row] = true);
        Some(self)
    }
}

/// Does the work of all tiles on rows of so many strips, which lie one behind the other, while what is `ahead` is
/// fetched.
#[inline(never)]
pub(crate) fn sort_by(tiles: &[Tile], rows: &mut [Lanes], strips: usize, prefetch: Prefetch<'_>) {
    Arch::new().dispatch(SortBy { tiles, rows, strips, prefetch });
}

struct SortBy<'a> {
    tiles: &'a [Tile],
    rows: &'a mut [Lanes],
    strips: usize,
    prefetch: Prefetch<'a>,
}

impl WithSimd for SortBy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) {
        let SortBy { tiles, rows, strips, mut prefetch } = self;
        if tiles.is_empty() {
            return;
        }
        // So the place of a row cannot overflow.
        assert!(0 < strips && strips <= rows.len(), "no whole row");
        // For as many cache lines as there are, evenly.
        let lines = rows.len().div_ceil(strips * tiles.len());
        for tile in tiles {
            for strip in 0..strips {
                for part in parts::<V>() {
                    let column = Column::<V>::new(rows, strips, strip, part, tile);
                    match tile.work {
                        Work::Sort => sort_present(simd, column),
                        Work::Merge => merge_present(simd, column),
                        Work::Sweep(1) => sweep::<V, 0, 2>(simd, column),
                        Work::Sweep(2) => sweep::<V, 1, 4>(simd, column),
                        Work::Sweep(_) => sweep::<V, 3, 8>(simd, column),
                    }
                }
                for _ in 0..lines {
                    prefetch.fetch_line();
                }
            }
        }
    }
}

/// One vector of each row of a tile.
struct Column<'a, V: Simd> {
    /// That of every fourth row, as far as there are so many: from these, a processor finds the others by itself.
    fourths: [*mut V::f32s; ROWS / 4],
    /// Bytes from row to row.
    stride: usize,
    /// How many there are, all of them in `rows`.
    count: usize,
    rows: PhantomData<&'a mut [Lanes]>,
}

#[expect(unsafe_code, reason = "to check where each vector lies takes longer than to compare it")]
impl<'a, V: Simd> Column<'a, V> {
    #[inline(always)]
    fn new(rows: &'a mut [Lanes], strips: usize, strip: usize, part: usize, tile: &Tile) -> Self {
        let Tile { first, stride, count, .. } = *tile;
        assert!(count > 0 && parts::<V>().contains(&part), "no such vector");
        let last = (first + (count - 1) * stride) * strips + strip;
        assert!(last < rows.len(), "no such row");
        // SAFETY: The first row does not come after the last one, and lanes consist of so many vectors.
        let first = unsafe { rows.as_mut_ptr().add(first * strips + strip).cast::<V::f32s>().add(part) };
        let stride = stride * strips * size_of::<Lanes>();
        let fourths = [0, 4, 8, 12].map(|k| first.wrapping_byte_add(k * stride));
        Column { fourths, stride, count, rows: PhantomData }
    }

    #[inline(always)]
    fn get(&self, k: usize) -> V::f32s {
        assert!(k < self.count, "no such row");
        // SAFETY: There are more than k rows, and they are borrowed by nobody else.
        unsafe { self.fourths[k / 4].byte_add(k % 4 * self.stride).read() }
    }

    #[inline(always)]
    fn set(&mut self, k: usize, vector: V::f32s) {
        assert!(k < self.count, "no such row");
        // SAFETY: There are more than k rows, and they are borrowed by nobody else.
        unsafe { self.fourths[k / 4].byte_add(k % 4 * self.stride).write(vector) }
    }

    /// The first `PRESENT` rows of a tile that sorts or merges; what stands behind them is no row.
    #[inline(always)]
    fn get_first<const PRESENT: usize>(&self, simd: V) -> [V::f32s; ROWS] {
        let mut values = [simd.splat_f32s(0.0); ROWS];
        for (k, value) in values[..PRESENT].iter_mut().enumerate() {
            *value = self.get(k);
        }
        values
    }

    #[inline(always)]
    fn set_first<const PRESENT: usize>(&mut self, values: &[V::f32s; ROWS]) {
        for (k, value) in values[..PRESENT].iter().enumerate() {
            self.set(k, *value);
        }
    }

    /// Leaves the first rows behind.
    #[inline(always)]
    fn advance(&mut self, rows: usize) {
        assert!(rows <= self.count, "no such row");
        self.fourths = self.fourths.map(|fourth| fourth.wrapping_byte_add(rows * self.stride));
        self.count -= rows;
    }
}

/// The lesser and the greater value of each lane. Zeros of either sign are equal.
#[inline(always)]
fn in_order<V: Simd>(simd: V, a: V::f32s, b: V::f32s) -> (V::f32s, V::f32s) {
    if V::F32_LANES > 1 {
        return (simd.min_f32s(b, a), simd.max_f32s(a, b));
    }
    // Without vectors, the minimum may be a function.
    let swap = simd.less_than_f32s(b, a);
    (simd.select_f32s(swap, b, a), simd.select_f32s(swap, a, b))
}

/// Puts pairs of an array in order, but those of which the second is not among the first so many.
macro_rules! exchange {
    ($simd:ident, $values:ident, $present:expr; $(($low:literal $high:literal))*) => {
        $(if $high < $present {
            ($values[$low], $values[$high]) = in_order($simd, $values[$low], $values[$high]);
        })*
    };
}

/// Sorts a tile of `PRESENT` rows, by Green's network (Knuth, section 5.3.4).
#[inline(always)]
fn sort<V: Simd, const PRESENT: usize>(simd: V, mut column: Column<'_, V>) {
    let mut values = column.get_first::<PRESENT>(simd);
    exchange! { simd, values, PRESENT;
        (0 1) (2 3) (4 5) (6 7) (8 9) (10 11) (12 13) (14 15)
        (0 2) (1 3) (4 6) (5 7) (8 10) (9 11) (12 14) (13 15)
        (0 4) (1 5) (2 6) (3 7) (8 12) (9 13) (10 14) (11 15)
        (0 8) (1 9) (2 10) (3 11) (4 12) (5 13) (6 14) (7 15)
        (5 10) (6 9) (3 12) (13 14) (4 8) (7 11) (1 2)
        (1 4) (7 13) (2 8) (11 14) (5 6) (9 10)
        (2 4) (11 13) (3 8) (7 12)
        (6 8) (10 12) (3 5) (7 9)
        (3 4) (5 6) (7 8) (9 10) (11 12)
        (6 7) (8 9)
    }
    column.set_first::<PRESENT>(&values);
}

/// Merges a tile of `PRESENT` rows.
#[inline(always)]
fn merge<V: Simd, const PRESENT: usize>(simd: V, mut column: Column<'_, V>) {
    let mut values = column.get_first::<PRESENT>(simd);
    exchange! { simd, values, PRESENT;
        (0 8) (1 9) (2 10) (3 11) (4 12) (5 13) (6 14) (7 15)
        (4 8) (5 9) (6 10) (7 11)
        (2 4) (3 5) (6 8) (7 9) (10 12) (11 13)
        (1 2) (3 4) (5 6) (7 8) (9 10) (11 12) (13 14)
    }
    column.set_first::<PRESENT>(&values);
}

#[inline(always)]
fn sort_present<V: Simd>(simd: V, column: Column<'_, V>) {
    match column.count {
        0 | 1 => (),
        2 => sort::<V, 2>(simd, column),
        3 => sort::<V, 3>(simd, column),
        4 => sort::<V, 4>(simd, column),
        5 => sort::<V, 5>(simd, column),
        6 => sort::<V, 6>(simd, column),
        7 => sort::<V, 7>(simd, column),
        8 => sort::<V, 8>(simd, column),
        9 => sort::<V, 9>(simd, column),
        10 => sort::<V, 10>(simd, column),
        11 => sort::<V, 11>(simd, column),
        12 => sort::<V, 12>(simd, column),
        13 => sort::<V, 13>(simd, column),
        14 => sort::<V, 14>(simd, column),
        15 => sort::<V, 15>(simd, column),
        _ => sort::<V, ROWS>(simd, column),
    }
}

#[inline(always)]
fn merge_present<V: Simd>(simd: V, column: Column<'_, V>) {
    match column.count {
        // The first run is in order.
        0..=8 => (),
        9 => merge::<V, 9>(simd, column),
        10 => merge::<V, 10>(simd, column),
        11 => merge::<V, 11>(simd, column),
        12 => merge::<V, 12>(simd, column),
        13 => merge::<V, 13>(simd, column),
        14 => merge::<V, 14>(simd, column),
        15 => merge::<V, 15>(simd, column),
        _ => merge::<V, ROWS>(simd, column),
    }
}

/// The most rows that a sweep has in registers.
const SWEPT: usize = 11;

/// Sweeps over the rows of a tile in windows of `WINDOW` rows; the last `CARRIED` rows of each, half a window less one,
/// go on to the next.
#[inline(always)]
fn sweep<V: Simd, const CARRIED: usize, const WINDOW: usize>(simd: V, mut column: Column<'_, V>) {
    // The first row has no row to be put in order with.
    column.advance(1);
    if column.count >= CARRIED + WINDOW {
        let mut values = [simd.splat_f32s(0.0); SWEPT];
        for (k, value) in values[..CARRIED].iter_mut().enumerate() {
            *value = column.get(k);
        }
        while column.count >= CARRIED + WINDOW {
            for (k, value) in values[..CARRIED + WINDOW].iter_mut().enumerate().skip(CARRIED) {
                *value = column.get(k);
            }
            values = window::<V, WINDOW>(simd, values);
            for (k, value) in values[..WINDOW].iter().enumerate() {
                column.set(k, *value);
            }
            for k in 0..CARRIED {
                values[k] = values[k + WINDOW];
            }
            column.advance(WINDOW);
        }
        for (k, value) in values[..CARRIED].iter().enumerate() {
            column.set(k, *value);
        }
    }
    while column.count > 1 {
        let mut values = [simd.splat_f32s(f32::INFINITY); SWEPT];
        for (k, value) in values[..CARRIED + WINDOW].iter_mut().enumerate() {
            if k < column.count {
                *value = column.get(k);
            }
        }
        values = window::<V, WINDOW>(simd, values);
        for (k, value) in values[..CARRIED + WINDOW].iter().enumerate() {
            if k < column.count {
                column.set(k, *value);
            }
        }
        column.advance(WINDOW.min(column.count));
    }
}

/// The layers of a sweep within a window and what is carried to it.
#[inline(always)]
fn window<V: Simd, const WINDOW: usize>(simd: V, mut values: [V::f32s; SWEPT]) -> [V::f32s; SWEPT] {
    match WINDOW {
        2 => {
            exchange! { simd, values, SWEPT; (0 1) }
        }
        4 => {
            exchange! { simd, values, SWEPT; (1 3) (2 4) (0 1) (2 3) }
        }
        _ => {
            exchange! { simd, values, SWEPT;
                (3 7) (4 8) (5 9) (6 10)
                (1 3) (2 4) (5 7) (6 8)
                (0 1) (2 3) (4 5) (6 7)
            }
        }
    }
    values
}
