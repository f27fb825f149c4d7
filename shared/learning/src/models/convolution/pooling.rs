//! Max-pooling, bias and rectifier in one.

use super::super::gemm::Element;
use super::super::rectifier;
use super::raster::Raster;
use simd::{Kernel, vectorized};

/// Maximum of each 2 x 2 window of a picture `[height, width, channels]`, plus a bias for its channel, or 0 if that is
/// negative: `[height / 2, width / 2, channels]`. An odd last row or column is left out. NaN stays NaN.
///
/// This is what a bias, a rectifier and a pooling compute one after the other, in whatever order; but three quarters
/// of the values need neither bias nor rectifier. The gradient goes to the first maximum of a window in row-major
/// order, and nowhere if the result is 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pooling {
    /// Pixels in a row of the picture.
    pub(super) width: usize,
    /// Values of a pixel.
    pub(super) channels: usize,
    /// Where the pixels of the picture lie.
    pub(super) raster: Raster,
}

impl Pooling {
    /// Writes to `output` what is left of `picture`, and to `places` where in its window each maximum is: 0 to 3, in
    /// row-major order.
    pub(super) fn forward<T: Element>(self, picture: &[T], bias: &[T], output: &mut [T], places: &mut [u8]) {
        vectorized(Forward { pooling: self, picture, bias, output, places });
    }

    /// Writes to `picture` the gradient of a picture, from that of its `output`, and adds to `bias` that of the bias.
    /// An odd last row or column stays as it is.
    pub(super) fn backward<T: Element>(
        self,
        [output, gradient]: [&[T]; 2],
        places: &[u8],
        picture: &mut [T],
        bias: &mut [T],
    ) {
        vectorized(Backward { pooling: self, output, gradient, places, picture, bias });
    }

    /// Where in a picture the windows of its `row`-th pair of rows begin: above and below.
    #[inline(always)]
    fn windows(self, row: usize) -> impl Iterator<Item = [usize; 2]> {
        let Raster { row: line, pixel } = self.raster;
        let starts = (0..self.width / 2).map(move |column| 2 * (row * line + column * pixel));
        starts.map(move |start| [start, start + line])
    }
}

struct Forward<'a, T> {
    pooling: Pooling,
    picture: &'a [T],
    bias: &'a [T],
    output: &'a mut [T],
    places: &'a mut [u8],
}

impl<T: Element> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Forward { pooling, picture, bias, output, places } = self;
        let Pooling { channels, raster: Raster { pixel, .. }, .. } = pooling;
        let bias = &bias[..channels];
        for (row, start) in (0..output.len()).step_by(pooling.width / 2 * channels).enumerate() {
            let results = (start..).step_by(channels);
            for ([above, below], start) in pooling.windows(row).zip(results) {
                let (a, b) = (&picture[above..][..channels], &picture[above + pixel..][..channels]);
                let (c, d) = (&picture[below..][..channels], &picture[below + pixel..][..channels]);
                let output = &mut output[start..][..channels];
                let places = &mut places[start..][..channels];
                for channel in 0..channels {
                    let first = (a[channel], 0);
                    let second = larger(first, (b[channel], 1));
                    let third = larger(second, (c[channel], 2));
                    let (maximum, place) = larger(third, (d[channel], 3));
                    output[channel] = rectifier::rectified(maximum + bias[channel]);
                    places[channel] = place;
                }
            }
        }
    }
}

/// The larger value, or the first of equals, or NaN if one is; with its place.
#[inline(always)]
fn larger<T: Element>(first: (T, u8), second: (T, u8)) -> (T, u8) {
    let is_nan = second.0.partial_cmp(&second.0).is_none();
    if second.0 > first.0 || is_nan { second } else { first }
}

struct Backward<'a, T> {
    pooling: Pooling,
    output: &'a [T],
    gradient: &'a [T],
    places: &'a [u8],
    picture: &'a mut [T],
    bias: &'a mut [T],
}

impl<T: Element> Kernel for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Backward { pooling, output, gradient, places, picture, bias } = self;
        let Pooling { channels, raster: Raster { pixel, .. }, .. } = pooling;
        let bias = &mut bias[..channels];
        for (row, start) in (0..output.len()).step_by(pooling.width / 2 * channels).enumerate() {
            let results = (start..).step_by(channels);
            for ([above, below], start) in pooling.windows(row).zip(results) {
                let (upper, lower) = picture.split_at_mut(below);
                let (a, b) = upper[above..].split_at_mut(pixel);
                let (c, d) = lower.split_at_mut(pixel);
                let (a, b) = (&mut a[..channels], &mut b[..channels]);
                let (c, d) = (&mut c[..channels], &mut d[..channels]);
                let output = &output[start..][..channels];
                let gradient = &gradient[start..][..channels];
                let places = &places[start..][..channels];
                for channel in 0..channels {
                    let passed = rectifier::passed((&output[channel], &gradient[channel]));
                    bias[channel] += passed;
                    a[channel] = if places[channel] == 0 { passed } else { T::zero() };
                    b[channel] = if places[channel] == 1 { passed } else { T::zero() };
                    c[channel] = if places[channel] == 2 { passed } else { T::zero() };
                    d[channel] = if places[channel] == 3 { passed } else { T::zero() };
                }
            }
        }
    }
}
