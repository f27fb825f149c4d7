//! The shapes of a convolution, and what they make of pictures, one after the other.

use candle_core::{Result, bail};

use super::super::gemm::{Element, column};
use super::Convolution;
use super::frame::Frame;
use super::raster::Raster;
use super::windows::Windows;
use simd::vector_lanes;

/// The shapes of one convolution: of an input `[batch, height, width, channels]` with kernels
/// `[kernel, kernel, channels, outputs]` to `[batch, rows, columns, outputs]`.
pub(super) struct Geometry {
    stride: usize,
    padding: usize,
    pub(super) batch: usize,
    height: usize,
    width: usize,
    channels: usize,
    kernel: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) outputs: usize,
}

impl Geometry {
    /// Of an input and kernels with these dimensions.
    ///
    /// # Errors
    /// If they do not fit each other.
    pub(super) fn new(convolution: Convolution, input: &[usize], kernels: &[usize]) -> Result<Self> {
        let (&[batch, height, width, channels], &[kernel, kernel_width, inputs, outputs]) = (input, kernels)
        else {
            bail!("a convolution takes four dimensions each, not {input:?} and {kernels:?}");
        };
        let Convolution { stride, padding } = convolution;
        let count = |side: usize| Some((side + 2 * padding).checked_sub(kernel)? / stride + 1);
        let fits = kernel == kernel_width && inputs == channels && padding < kernel;
        let fits = fits && !input.contains(&0) && outputs > 0;
        let (Some(rows), Some(columns), true) = (count(height), count(width), fits) else {
            bail!("a convolution of {input:?} cannot have the kernels {kernels:?}");
        };
        Ok(Geometry { stride, padding, batch, height, width, channels, kernel, rows, columns, outputs })
    }

    /// Number of values of one example of the input.
    pub(super) fn example(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Number of values of one example of the output.
    pub(super) fn result(&self) -> usize {
        self.rows * self.columns * self.outputs
    }

    /// The windows in an example of the input, with its padding.
    fn windows(&self) -> Windows {
        Windows {
            width: self.width + 2 * self.padding,
            channels: self.channels,
            kernel: self.kernel,
            stride: self.stride,
            rows: self.rows,
            columns: self.columns,
        }
    }

    /// An example of the input, and its padding.
    fn padded<T: Element>(&self) -> Frame<T> {
        let sides = [self.height, self.width].map(|side| side + 2 * self.padding);
        Frame::new(sides, self.channels, [self.height, self.width], self.padding, 1)
    }

    /// The windows in an example of the output's gradient, as [`Geometry::spread`] has it, that the gradient of
    /// the input is computed from.
    fn reversed_windows(&self) -> Windows {
        Windows {
            width: self.width + self.kernel - 1,
            channels: self.outputs,
            kernel: self.kernel,
            stride: 1,
            rows: self.height,
            columns: self.width,
        }
    }

    /// An example of the output's gradient, as far apart as its windows are in the input, amid zeros.
    fn spread<T: Element>(&self) -> Frame<T> {
        let sides = [self.height, self.width].map(|side| side + self.kernel - 1);
        let origin = self.kernel - 1 - self.padding;
        Frame::new(sides, self.outputs, [self.rows, self.columns], origin, self.stride)
    }

    /// The convolution of examples of the input.
    pub(super) fn forward<T: Element>(&self, kernels: &[T]) -> Correlation<T> {
        Correlation::new(self.windows(), self.padded(), kernels, self.outputs)
    }

    /// The gradients of examples of the input from those of their outputs.
    pub(super) fn input_gradient<T: Element>(&self, kernels: &[T]) -> Correlation<T> {
        Correlation::new(self.reversed_windows(), self.spread(), &self.turned(kernels), self.channels)
    }

    /// The gradient of the kernels.
    pub(super) fn kernel_gradient<T: Element>(&self) -> KernelGradient<T> {
        let (windows, outputs) = (self.windows(), whole_vectors(self.outputs));
        KernelGradient {
            wide: windows.wide(outputs),
            windows,
            padded: self.padded(),
            sum: vec![T::zero(); self.kernel * self.kernel * self.channels * outputs],
            outputs: self.outputs,
        }
    }

    /// Where the pixels of an example of the input lie.
    pub(super) fn input_raster(&self) -> Raster {
        Raster::dense(self.width, self.channels)
    }

    /// Where those of an example of the output lie.
    pub(super) fn output_raster(&self) -> Raster {
        Raster::dense(self.columns, self.outputs)
    }

    /// The kernels turned by 180 degrees, inputs and outputs exchanged: `[kernel, kernel, outputs, channels]`.
    fn turned<T: Element>(&self, kernels: &[T]) -> Vec<T> {
        let (channels, outputs) = (self.channels, self.outputs);
        let mut turned = Vec::with_capacity(kernels.len());
        for place in kernels.rchunks_exact((channels * outputs).max(1)) {
            for output in 0..outputs {
                turned.extend(column(place, outputs, output));
            }
        }
        turned
    }
}

/// How many values the vectors hold that `outputs` fill. The crate `gemm` multiplies rows of whole vectors where they
/// lie; others it copies first, each time.
fn whole_vectors(outputs: usize) -> usize {
    outputs.next_multiple_of(vector_lanes())
}

/// Kernels that slide over pictures.
pub(super) struct Correlation<T> {
    windows: Windows,
    frame: Frame<T>,
    /// With zeros up to [`whole_vectors`], as are the results in `wide`.
    kernels: Vec<T>,
    wide: Vec<T>,
    outputs: usize,
}

impl<T: Element> Correlation<T> {
    /// Slides `kernels` `[kernel, kernel, channels, outputs]` over the `windows` of a `frame`.
    fn new(windows: Windows, frame: Frame<T>, kernels: &[T], outputs: usize) -> Self {
        let width = whole_vectors(outputs);
        let mut padded = vec![T::zero(); kernels.len() / outputs * width];
        for (padded, kernels) in padded.chunks_exact_mut(width).zip(kernels.chunks_exact(outputs)) {
            padded[..outputs].copy_from_slice(kernels);
        }
        let wide = windows.wide(width);
        Correlation { windows, frame, kernels: padded, wide, outputs }
    }

    /// What the windows of the picture that lies in the raster `from` of `picture` make with the kernels, and where it
    /// lies there.
    pub(super) fn of(&mut self, picture: &[T], from: Raster) -> (&[T], Raster) {
        self.windows.correlate(self.frame.fill(picture, from), &self.kernels, &mut self.wide);
        (&self.wide, self.windows.raster(whole_vectors(self.outputs)))
    }

    /// Writes that to `output`, without gaps.
    pub(super) fn write(&mut self, picture: &[T], from: Raster, output: &mut [T]) {
        let shape = [self.windows.rows, self.windows.columns, self.outputs];
        let dense = Raster::dense(self.windows.columns, self.outputs);
        let (wide, raster) = self.of(picture, from);
        raster.copy(wide, dense, output, shape);
    }
}

/// The gradient of the kernels, summed over examples in their order.
pub(super) struct KernelGradient<T> {
    windows: Windows,
    padded: Frame<T>,
    wide: Vec<T>,
    sum: Vec<T>,
    outputs: usize,
}

impl<T: Element> KernelGradient<T> {
    /// Where the gradient of an example's output is to be written, before [`KernelGradient::add`]; what lies between
    /// its pixels must stay zero.
    pub(super) fn gradient(&mut self) -> (&mut [T], Raster) {
        (&mut self.wide, self.windows.raster(whole_vectors(self.outputs)))
    }

    /// Adds that of an example of the input, from the gradient of its output that was written.
    pub(super) fn add(&mut self, example: &[T], from: Raster) {
        self.windows.correlate_with(self.padded.fill(example, from), &self.wide, &mut self.sum);
    }

    /// The sum `[kernel, kernel, channels, outputs]`.
    pub(super) fn finish(self) -> Vec<T> {
        let width = whole_vectors(self.outputs);
        self.sum.chunks_exact(width).flat_map(|padded| &padded[..self.outputs]).copied().collect()
    }
}
