//! Windows in a picture, as they are: the rows of matrices that overlap.

use super::super::gemm::{Element, Matrix, multiply};
use super::raster::Raster;

/// The windows of `[kernel, kernel]` pixels in a picture `[height, width, channels]`: `rows` times `columns`, each
/// `stride` pixels from the one before.
///
/// One row of all windows is one matrix: row q has the `kernel * channels` values that start at pixel
/// `stride * q` of the picture. Those that start in the last columns of the picture and go on in its next row are
/// no windows; they are computed along and left out, so a result with them is called *wide*.
pub(super) struct Windows {
    /// Pixels in a row of the picture.
    pub(super) width: usize,
    /// Values of a pixel.
    pub(super) channels: usize,
    /// Pixels in a side of a window.
    pub(super) kernel: usize,
    /// Rows and columns of pixels from one window to the next.
    pub(super) stride: usize,
    /// Number of windows below each other.
    pub(super) rows: usize,
    /// Number of windows beside each other.
    pub(super) columns: usize,
}

impl Windows {
    /// Number of rows of the matrix, up to the last window.
    fn positions(&self) -> usize {
        (self.rows - 1) * self.width + self.columns
    }

    /// Number of values in one row of a window.
    fn depth(&self) -> usize {
        self.kernel * self.channels
    }

    /// Row `row` of all windows as a matrix `[positions, depth]`.
    fn matrix<'a, T>(&self, picture: &'a [T], row: usize) -> Matrix<'a, T> {
        let start = row * self.width * self.channels;
        Matrix::new(&picture[start..], [self.positions(), self.depth()], self.stride * self.channels)
    }

    /// Where results of `outputs` values for each window lie that are computed along with those that are left out.
    pub(super) fn raster(&self, outputs: usize) -> Raster {
        Raster::dense(self.width, outputs)
    }

    /// Memory for a wide result of `outputs` values for each window.
    pub(super) fn wide<T: Element>(&self, outputs: usize) -> Vec<T> {
        vec![T::zero(); self.positions() * outputs]
    }

    /// Sets `wide` [`Windows::wide`] to the product of each window of `picture` with `kernels`
    /// `[kernel, kernel, channels, outputs]`.
    pub(super) fn correlate<T: Element>(&self, picture: &[T], kernels: &[T], wide: &mut [T]) {
        let outputs = wide.len() / self.positions();
        for (row, kernels) in kernels.chunks_exact(self.depth() * outputs).enumerate() {
            let kernels = Matrix::new(kernels, [self.depth(), outputs], outputs);
            multiply(self.matrix(picture, row), kernels, wide, outputs, row > 0);
        }
    }

    /// Adds to `sum` `[kernel, kernel, channels, outputs]`: the sum over the windows of `picture` of the product of
    /// each value with the `outputs` that `wide` [`Windows::wide`] has for its window, and which are zero where there
    /// is none.
    pub(super) fn correlate_with<T: Element>(&self, picture: &[T], wide: &[T], sum: &mut [T]) {
        let outputs = wide.len() / self.positions();
        let wide = Matrix::new(wide, [self.positions(), outputs], outputs);
        for (row, sum) in sum.chunks_exact_mut(self.depth() * outputs).enumerate() {
            multiply(self.matrix(picture, row).transposed(), wide, sum, outputs, true);
        }
    }
}
