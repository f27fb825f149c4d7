//! Pictures amid zeros.

use super::super::gemm::Element;
use super::raster::Raster;

/// A picture `[height, width, channels]` of zeros, and where in it the pixels of smaller ones go.
pub(super) struct Frame<T> {
    values: Vec<T>,
    /// Of the smaller ones.
    shape: [usize; 3],
    start: usize,
    raster: Raster,
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
        Frame {
            values: vec![T::zero(); height * width * channels],
            shape: [rows, columns, channels],
            start: origin * (width + 1) * channels,
            raster: Raster { row: step * width * channels, pixel: step * channels },
            is_all,
        }
    }

    /// The frame around the picture that lies in the raster `from` of `picture`, and takes the place of the one before.
    pub(super) fn fill<'a>(&'a mut self, picture: &'a [T], from: Raster) -> &'a [T] {
        if self.is_all && from == self.raster {
            return picture;
        }
        from.copy(picture, self.raster, &mut self.values[self.start..], self.shape);
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_go_where_they_belong_and_replace_the_ones_before() {
        let mut frame = Frame::<f32>::new([4, 6], 2, [2, 2], 1, 2);
        let dense = Raster::dense(2, 2);
        frame.fill(&[9.; 8], dense);
        let filled = frame.fill(&[1., 2., 3., 4., 5., 6., 7., 8.], dense);
        let zeros = [0.; 12];
        let (first, second) = (
            [0., 0., 1., 2., 0., 0., 3., 4., 0., 0., 0., 0.],
            [0., 0., 5., 6., 0., 0., 7., 8., 0., 0., 0., 0.],
        );
        assert_eq!(filled, [zeros, first, zeros, second].concat());

        let mut frame = Frame::<f32>::new([2, 3], 1, [2, 2], 0, 1);
        assert_eq!(frame.fill(&[1., 2., 3., 4.], Raster::dense(2, 1)), [1., 2., 0., 3., 4., 0.]);
    }

    #[test]
    fn a_picture_that_fills_its_frame_is_the_frame() {
        let picture = [1f32, 2., 3., 4.];
        let mut frame = Frame::new([1, 2], 2, [1, 2], 0, 1);
        assert_eq!(frame.fill(&picture, Raster::dense(2, 2)).as_ptr(), picture.as_ptr());
        let apart = [1f32, 2., 0., 3., 4.];
        assert_eq!(frame.fill(&apart, Raster { row: 5, pixel: 3 }), picture);
    }
}
