//! Convolution whose forward and backward pass are matrix products.
//!
//! candle 0.11's own `conv2d` computes the gradient of its input one pixel at a time, which takes most of a
//! training step, computes it for pictures that nobody differentiates by, and takes the padding it needs from
//! the height alone.
//!
//! Here the channels of a pixel lie side by side (`[batch, height, width, channels]`). So one row of a kernel
//! covers values that lie side by side too, and the windows under it are the rows of a matrix that is there
//! already: they overlap in the picture itself, and nothing is copied but the padding around it. What a row of
//! kernels has to be multiplied with is that matrix, once for each row of the kernel.
//!
//! The gradient of the input is itself a convolution: of the output's gradient, spread out by the stride and
//! padded, with the kernels turned by 180 degrees.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::frame::Frame;
use super::gemm::Element;
use super::operands::{by_type, operand, result, tensor, with_values};
use super::windows::Windows;

/// A convolution with square kernels and zeros around the input, the same on each side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    /// Rows and columns from one window to the next.
    pub(super) stride: usize,
    /// Rows and columns of zeros around the input, fewer than the kernel has.
    pub(super) padding: usize,
}

impl Convolution {
    /// `[batch, height, width, inputs]` to `[batch, rows, columns, outputs]` with `weight`
    /// `[outputs, inputs, k, k]`, where `rows = (height + 2 padding - k) / stride + 1`, and `columns` alike.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub(super) fn apply(self, input: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let kernels = weight.permute((2, 3, 1, 0))?.contiguous()?;
        input.contiguous()?.apply_op2(&kernels, self)
    }

    fn geometry(self, input: &[usize], kernels: &[usize]) -> Result<Geometry> {
        let (&[batch, height, width, channels], &[kernel, kernel_width, inputs, outputs]) = (input, kernels)
        else {
            bail!("a convolution takes four dimensions each, not {input:?} and {kernels:?}");
        };
        let Convolution { stride, padding } = self;
        let count = |side: usize| Some((side + 2 * padding).checked_sub(kernel)? / stride + 1);
        let fits = kernel == kernel_width && inputs == channels && padding < kernel;
        let fits = fits && !input.contains(&0) && outputs > 0;
        let (Some(rows), Some(columns), true) = (count(height), count(width), fits) else {
            bail!("a convolution of {input:?} cannot have the kernels {kernels:?}");
        };
        Ok(Geometry { stride, padding, batch, height, width, channels, kernel, rows, columns, outputs })
    }
}

/// The shapes of one convolution: of an input `[batch, height, width, channels]` with kernels
/// `[kernel, kernel, channels, outputs]` to `[batch, rows, columns, outputs]`.
struct Geometry {
    stride: usize,
    padding: usize,
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
    kernel: usize,
    rows: usize,
    columns: usize,
    outputs: usize,
}

impl Geometry {
    /// Number of values of one example of the input.
    fn example(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Number of values of one example of the output.
    fn result(&self) -> usize {
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

    fn forward<T: Element>(&self, input: &[T], kernels: &[T]) -> Vec<T> {
        let mut output = Vec::with_capacity(self.batch * self.result());
        let (windows, mut padded) = (self.windows(), self.padded());
        let mut wide = windows.wide(self.outputs);
        for example in input.chunks_exact(self.example()) {
            windows.correlate(padded.fill(example), kernels, &mut wide, &mut output);
        }
        output
    }

    /// The gradient of the input.
    fn backward<T: Element>(&self, kernels: &[T], gradient: &[T]) -> Vec<T> {
        let mut input_gradient = Vec::with_capacity(self.batch * self.example());
        let turned = self.turned(kernels);
        let (windows, mut spread) = (self.reversed_windows(), self.spread());
        let mut wide = windows.wide(self.channels);
        for gradient in gradient.chunks_exact(self.result()) {
            windows.correlate(spread.fill(gradient), &turned, &mut wide, &mut input_gradient);
        }
        input_gradient
    }

    /// The kernels turned by 180 degrees, inputs and outputs exchanged: `[kernel, kernel, outputs, channels]`.
    fn turned<T: Element>(&self, kernels: &[T]) -> Vec<T> {
        let (channels, outputs) = (self.channels, self.outputs);
        let mut turned = Vec::with_capacity(kernels.len());
        for place in kernels.rchunks_exact((channels * outputs).max(1)) {
            for output in 0..outputs {
                turned.extend((0..channels).map(|channel| place[channel * outputs + output]));
            }
        }
        turned
    }

    /// The gradient of the kernels, summed over the examples in their order.
    fn backward_kernels<T: Element>(&self, input: &[T], gradient: &[T]) -> Vec<T> {
        let mut sum = vec![T::zero(); self.kernel * self.kernel * self.channels * self.outputs];
        let (windows, mut padded) = (self.windows(), self.padded());
        let mut wide = Frame::new([self.rows, windows.width], self.outputs, [self.rows, self.columns], 0, 1);
        let examples = input.chunks_exact(self.example());
        for (example, gradient) in examples.zip(gradient.chunks_exact(self.result())) {
            windows.correlate_with(padded.fill(example), wide.fill(gradient), &mut sum);
        }
        sum
    }
}

impl Convolution {
    fn cpu_forward<T: Element>(
        self,
        [input, kernels]: [&CpuStorage; 2],
        [input_layout, kernels_layout]: [&Layout; 2],
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = self.geometry(input_layout.dims(), kernels_layout.dims())?;
        let output = geometry.forward::<T>(operand(input, input_layout)?, operand(kernels, kernels_layout)?);
        Ok(result(output, (geometry.batch, geometry.rows, geometry.columns, geometry.outputs)))
    }

    fn backward<T: Element>(
        self,
        [input, kernels, gradient]: [&Tensor; 3],
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let geometry = self.geometry(input.dims(), kernels.dims())?;
        with_values::<T, _>(gradient, |gradient| {
            // Of the data itself nobody wants the gradient.
            let input_gradient = if input.track_op() {
                let values = with_values(kernels, |kernels| Ok(geometry.backward::<T>(kernels, gradient)))?;
                Some(tensor(values, input.shape())?)
            } else {
                None
            };
            let values = with_values(input, |input| Ok(geometry.backward_kernels::<T>(input, gradient)))?;
            Ok((input_gradient, Some(tensor(values, kernels.shape())?)))
        })
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        kernels: &CpuStorage,
        kernels_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_type!(input.dtype(), T => self.cpu_forward::<T>([input, kernels], [input_layout, kernels_layout]))
    }

    fn bwd(
        &self,
        input: &Tensor,
        kernels: &Tensor,
        _output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        by_type!(input.dtype(), T => self.backward::<T>([input, kernels, gradient]))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::gradient_check::{assert_gradient, random_tensor};
    use super::*;

    const VARIANTS: [Convolution; 4] = [
        Convolution { stride: 1, padding: 0 },
        Convolution { stride: 1, padding: 1 },
        Convolution { stride: 2, padding: 1 },
        Convolution { stride: 3, padding: 2 },
    ];
    const SIDES: [[usize; 2]; 5] = [[5, 5], [4, 7], [6, 3], [3, 3], [7, 8]];

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for convolution in VARIANTS {
            for [height, width] in SIDES {
                let inputs = [random_tensor(&[2, height, width, 2], 1), random_tensor(&[3, 2, 3, 3], 2)];
                assert_gradient(&inputs, |x| convolution.apply(&x[0], &x[1]));
            }
        }
    }

    #[test]
    fn it_computes_what_candle_does() {
        for convolution in VARIANTS {
            for [height, width] in SIDES {
                let input = random_tensor(&[2, height, width, 3], 1);
                let weight = random_tensor(&[4, 3, 3, 3], 2);
                let Convolution { stride, padding } = convolution;
                let channels_first = input.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
                let expected = channels_first.conv2d(&weight, padding, stride, 1, 1).unwrap();
                let expected = expected.permute((0, 2, 3, 1)).unwrap();
                let output = convolution.apply(&input, &weight).unwrap();
                assert_eq!(output.dims(), expected.dims());
                let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
                for (value, expected) in values(&output).iter().zip(values(&expected)) {
                    assert!((value - expected).abs() < 1e-12, "{value} instead of {expected}");
                }
            }
        }
    }

    #[test]
    fn the_kernel_slides_without_being_flipped() {
        let tensor =
            |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        let input = tensor(&[1., 2., 3., 4., 5., 6.], &[1, 2, 3, 1]);
        let weight = tensor(&[1., 10., 100., 1000.], &[1, 1, 2, 2]);
        let output = Convolution { stride: 1, padding: 0 }.apply(&input, &weight).unwrap();
        assert_eq!(output.dims(), [1, 1, 2, 1]);
        assert_eq!(output.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [5421., 6532.]);
    }

    #[test]
    fn an_input_that_is_a_view_is_read_in_its_order() {
        let wide = random_tensor(&[2, 5, 6, 2], 1);
        let view = wide.transpose(1, 2).unwrap();
        let weight = random_tensor(&[3, 2, 3, 3], 2);
        let output = |input: &Tensor| VARIANTS[2].apply(input, &weight).unwrap();
        let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(values(output(&view)), values(output(&view.contiguous().unwrap())));
        assert_gradient(&[wide], |x| VARIANTS[2].apply(&x[0].transpose(1, 2)?, &weight));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let refused = |input: &[usize], weight: &[usize]| {
            let (input, weight) = (random_tensor(input, 1), random_tensor(weight, 2));
            VARIANTS[0].apply(&input, &weight).unwrap_err().to_string()
        };
        assert!(refused(&[1, 5, 5, 2], &[3, 1, 3, 3]).contains("cannot have the kernels"));
        assert!(refused(&[1, 2, 5, 1], &[3, 1, 3, 3]).contains("cannot have the kernels"));
        assert!(refused(&[1, 5, 5, 1], &[3, 1, 3, 2]).contains("cannot have the kernels"));
        assert!(refused(&[1, 5, 5, 0], &[3, 0, 3, 3]).contains("cannot have the kernels"));
        assert!(refused(&[1, 5, 5], &[3, 1, 3, 3]).contains("four dimensions"));
    }
}
