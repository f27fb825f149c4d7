//! Fetching what is worked on next while something else is worked on.

use crate::simd::{LANES, prefetch};

/// Columns of all rows that are worked on next. With a hundred rows, each far from the others, no processor sees by
/// itself what comes next; without being told it waits for memory half of the time.
#[derive(Clone, Copy, Default)]
pub(super) struct Ahead<'a> {
    /// Those of which nothing is fetched yet, but for the first.
    rows: &'a [&'a [f32]],
    first: usize,
    end: usize,
    /// The column that comes next in the first row.
    next: usize,
}

impl<'a> Ahead<'a> {
    /// So many columns from the `first` on; some or all of them may lie beyond the end of the rows.
    pub(super) fn of(rows: &'a [&'a [f32]], first: usize, columns: usize) -> Self {
        let end = rows.first().map_or(0, |row| row.len()).min(first.saturating_add(columns));
        Ahead { rows: if first < end { rows } else { &[] }, first, end, next: first }
    }

    /// Has the next cache line fetched, if there is one left. Call it every now and then: a processor follows up only a
    /// few at a time.
    #[inline(always)]
    pub(super) fn fetch_line(&mut self) {
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
