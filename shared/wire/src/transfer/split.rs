//! How content is cut into pieces.

use std::ops::Range;

/// Largest piece that is sent, in bytes. With its header it stays below the smallest payload limit of the
/// brokers in use (AWS: 128 KB).
pub const CHUNK_BYTES: u32 = 64 * 1024;

/// Pieces may not be smaller than this on average, or a transfer would cost its receiver more in
/// bookkeeping than in content.
pub const MIN_CHUNK_BYTES: u32 = 1024;

/// `size` bytes in `count` pieces, as [`Chunk`](crate::Chunk) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) size: u32,
    pub(super) count: u32,
}

impl Split {
    /// The fewest pieces of at most [`CHUNK_BYTES`]; even empty content is sent, as one empty piece.
    pub(super) fn of(size: u32) -> Self {
        Split { size, count: size.div_ceil(CHUNK_BYTES).max(1) }
    }

    /// Whether the number of pieces is one that a peer may choose.
    pub(super) fn is_valid(self) -> bool {
        (1..=self.size.div_ceil(MIN_CHUNK_BYTES).max(1)).contains(&self.count)
    }

    /// Where piece `index < count` lies in the content. The split must be valid.
    pub(super) fn range(self, index: u32) -> Range<usize> {
        let piece = self.size.div_ceil(self.count);
        let start = index.saturating_mul(piece).min(self.size);
        let end = start.saturating_add(piece).min(self.size);
        start as usize..end as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_end_to_end_and_none_is_empty_or_too_large() {
        let chunk = CHUNK_BYTES;
        for size in [1, 2, chunk - 1, chunk, chunk + 1, 2 * chunk, 7 * chunk + 1, 999 * chunk + 1, u32::MAX] {
            let split = Split::of(size);
            assert!(split.is_valid());
            let mut end = 0;
            for index in 0..split.count {
                let range = split.range(index);
                assert_eq!(range.start, end);
                assert!((1..=chunk as usize).contains(&range.len()), "{split:?} {index}");
                end = range.end;
            }
            assert_eq!(end, size as usize);
        }
    }

    #[test]
    fn no_content_is_one_empty_piece() {
        assert_eq!(Split::of(0), Split { size: 0, count: 1 });
        assert_eq!(Split::of(0).range(0), 0..0);
    }

    #[test]
    fn a_count_without_use_is_invalid() {
        assert!(!Split { size: 0, count: 0 }.is_valid());
        assert!(!Split { size: 0, count: 2 }.is_valid());
        assert!(!Split { size: 4096, count: 5 }.is_valid());
        assert!(Split { size: 4096, count: 4 }.is_valid());
        assert!(!Split { size: u32::MAX, count: u32::MAX }.is_valid());
    }
}
