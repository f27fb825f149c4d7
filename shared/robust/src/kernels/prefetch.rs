//! Prefetch of the columns that are processed next.

use std::ops::Deref;

use simd::{LANES, prefetch};

/// Columns of all rows that are read or written next. With a hundred rows, each far from the others, no processor sees by
/// itself what comes next; without being told it waits for memory half of the time.
#[derive(Default)]
pub(crate) struct Prefetch<'a> {
    read: Lines<'a, &'a [f32]>,
    written: Lines<'a, &'a mut [f32]>,
}

impl<'a> Prefetch<'a> {
    /// So many columns from the `first` on, to be read; some or all of them may lie beyond the end of the rows.
    pub(crate) fn of(rows: &'a [&'a [f32]], first: usize, columns: usize) -> Self {
        Prefetch { read: Lines::of(rows, first, columns), written: Lines::default() }
    }

    /// As many columns of other rows as well, to be written.
    pub(crate) fn and_of(self, rows: &'a [&'a mut [f32]], first: usize, columns: usize) -> Self {
        Prefetch { written: Lines::of(rows, first, columns), ..self }
    }

    /// Has the next cache line fetched, if there is one left, and the next of those that are written. Call it every now
    /// and then: a processor follows up only a few at a time.
    #[inline(always)]
    pub(crate) fn fetch_line(&mut self) {
        self.read.fetch_next();
        self.written.fetch_next();
    }
}

/// Cache lines of some columns, row by row.
#[derive(Default)]
struct Lines<'a, R> {
    /// The rows of which nothing is fetched yet, but for the first.
    rows: &'a [R],
    first: usize,
    end: usize,
    /// The column that comes next in the first row.
    next: usize,
}

impl<'a, R: Deref<Target = [f32]>> Lines<'a, R> {
    fn of(rows: &'a [R], first: usize, columns: usize) -> Self {
        let end = rows.first().map_or(0, |row| row.len()).min(first.saturating_add(columns));
        Lines { rows: if first < end { rows } else { &[] }, first, end, next: first }
    }

    #[inline(always)]
    fn fetch_next(&mut self) {
        if let Some((row, rest)) = self.rows.split_first() {
            if let Some(value) = row.get(self.next) {
                prefetch(value);
            }
            self.next += LANES;
            if self.next >= self.end {
                (self.rows, self.next) = (rest, self.first);
            }
        }
    }
}
