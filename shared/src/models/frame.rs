//! Pictures amid zeros.

use super::gemm::Element;

/// A picture `[height, width, channels]` of zeros, and where in it the pixels of smaller ones go.
pub(super) struct Frame<T> {
    values: Vec<T>,
    width: usize,
    channels: usize,
    columns: usize,
    origin: usize,
    step: usize,
    is_all: bool,
}

impl<T: Element> Frame<T> {
    /// A frame of `[height, width]` pixels for pictures of `[rows, columns]`, whose first pixel goes to row and
    /// column `origin`, and the next ones `step` rows and columns further each.
    pub(super) fn new(
        [height, width]: [usize; 2],
        channels: usize,
        [rows, columns]: [usize; 2],
        origin: usize,
        step: usize,
    ) -> Self {
        let is_all = [height, width] == [rows, columns];
        let values = if is_all { Vec::new() } else { vec![T::zero(); height * width * channels] };
        Frame { values, width, channels, columns, origin, step, is_all }
    }

    /// The frame around `picture` `[rows, columns, channels]`, which takes the place of the one before.
    pub(super) fn fill<'a>(&'a mut self, picture: &'a [T]) -> &'a [T] {
        if self.is_all {
            return picture;
        }
        for (row, pixels) in picture.chunks_exact(self.columns * self.channels).enumerate() {
            let start = ((self.origin + self.step * row) * self.width + self.origin) * self.channels;
            let place = &mut self.values[start..];
            if self.step == 1 {
                place[..pixels.len()].copy_from_slice(pixels);
            } else {
                let places = place.chunks_mut(self.step * self.channels);
                for (place, pixel) in places.zip(pixels.chunks_exact(self.channels)) {
                    place[..self.channels].copy_from_slice(pixel);
                }
            }
        }
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_go_where_they_belong_and_replace_the_ones_before() {
        let mut frame = Frame::<f32>::new([4, 6], 2, [2, 2], 1, 2);
        frame.fill(&[9.; 8]);
        let filled = frame.fill(&[1., 2., 3., 4., 5., 6., 7., 8.]);
        let zeros = [0.; 12];
        let (first, second) = (
            [0., 0., 1., 2., 0., 0., 3., 4., 0., 0., 0., 0.],
            [0., 0., 5., 6., 0., 0., 7., 8., 0., 0., 0., 0.],
        );
        assert_eq!(filled, [zeros, first, zeros, second].concat());

        let mut frame = Frame::<f32>::new([2, 3], 1, [2, 2], 0, 1);
        assert_eq!(frame.fill(&[1., 2., 3., 4.]), [1., 2., 0., 3., 4., 0.]);
    }

    #[test]
    fn a_picture_that_fills_its_frame_is_the_frame() {
        let picture = [1f32, 2., 3., 4.];
        assert_eq!(Frame::new([1, 2], 2, [1, 2], 0, 1).fill(&picture).as_ptr(), picture.as_ptr());
    }
}
