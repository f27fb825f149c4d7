//! Where the pixels of a picture lie.

/// The steps from pixel to pixel of a picture whose channels lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raster {
    /// Values from one row to the next.
    pub(super) row: usize,
    /// Values from one pixel of a row to the next.
    pub(super) pixel: usize,
}

impl Raster {
    /// That of a picture `[rows, columns, channels]` without gaps.
    pub(super) fn dense(columns: usize, channels: usize) -> Self {
        Raster { row: columns * channels, pixel: channels }
    }

    /// Copies a picture `[rows, columns, channels]` that lies so in `from` to where it lies in the raster `target` of
    /// `to`.
    ///
    /// # Panics
    /// If either is too short.
    pub(super) fn copy<T: Copy>(
        self,
        from: &[T],
        target: Self,
        to: &mut [T],
        [rows, columns, channels]: [usize; 3],
    ) {
        for row in 0..rows {
            let (from, to) = (&from[row * self.row..], &mut to[row * target.row..]);
            if self.pixel == channels && target.pixel == channels {
                to[..columns * channels].copy_from_slice(&from[..columns * channels]);
                continue;
            }
            for (from, to) in from.chunks(self.pixel).zip(to.chunks_mut(target.pixel)).take(columns) {
                to[..channels].copy_from_slice(&from[..channels]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_go_where_they_belong_and_leave_the_rest() {
        let dense = Raster::dense(2, 2);
        let wide = Raster { row: 8, pixel: 3 };
        let picture = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut spread = [0; 13];
        dense.copy(&picture, wide, &mut spread, [2, 2, 2]);
        assert_eq!(spread, [1, 2, 0, 3, 4, 0, 0, 0, 5, 6, 0, 7, 8]);

        let mut back = [0; 8];
        wide.copy(&spread, dense, &mut back, [2, 2, 2]);
        assert_eq!(back, picture);
    }
}
