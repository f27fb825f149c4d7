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
//!
//! # Layout
//! - This file: [`Convolution`], an operation on candle tensors.
//! - `pooled.rs`: the same, with a pooling behind it; `pooling.rs`: that pooling.
//! - `geometry.rs`: the shapes, and what is done with one picture after the other.
//! - `windows.rs`: windows in a picture as matrices; `raster.rs`: where its pixels lie; `frame.rs`: pictures amid zeros.

mod frame;
mod geometry;
mod pooled;
mod pooling;
mod raster;
mod windows;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::gemm::Element;
use super::operands::{by_type, operand, result, tensor, with_values};
use super::reversal::kernels;
use geometry::Geometry;
pub(super) use pooled::convolution_with_pooling;

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
        input.contiguous()?.apply_op2(&kernels(weight)?, self)
    }

    fn cpu_forward<T: Element>(
        self,
        [input, kernels]: [&CpuStorage; 2],
        [input_layout, kernels_layout]: [&Layout; 2],
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(self, input_layout.dims(), kernels_layout.dims())?;
        let mut correlation = geometry.forward::<T>(operand(kernels, kernels_layout)?);
        let mut output = vec![T::zero(); geometry.batch * geometry.result()];
        let examples = operand::<T>(input, input_layout)?.chunks_exact(geometry.example());
        for (example, output) in examples.zip(output.chunks_exact_mut(geometry.result())) {
            correlation.write(example, geometry.input_raster(), output);
        }
        Ok(result(output, (geometry.batch, geometry.rows, geometry.columns, geometry.outputs)))
    }

    fn backward<T: Element>(
        self,
        [input, kernels, gradient]: [&Tensor; 3],
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let geometry = Geometry::new(self, input.dims(), kernels.dims())?;
        with_values::<T, _>(gradient, |gradient| {
            let gradients = gradient.chunks_exact(geometry.result());
            let [input_raster, output_raster] = [geometry.input_raster(), geometry.output_raster()];
            // Of the data itself nobody wants the gradient.
            let input_gradient = if input.track_op() {
                let mut values = vec![T::zero(); geometry.batch * geometry.example()];
                with_values(kernels, |kernels| {
                    let mut correlation = geometry.input_gradient::<T>(kernels);
                    for (gradient, values) in
                        gradients.clone().zip(values.chunks_exact_mut(geometry.example()))
                    {
                        correlation.write(gradient, output_raster, values);
                    }
                    Ok(())
                })?;
                Some(tensor(values, input.shape())?)
            } else {
                None
            };
            let mut of_kernels = geometry.kernel_gradient::<T>();
            with_values(input, |input| {
                let shape = [geometry.rows, geometry.columns, geometry.outputs];
                for (example, gradient) in input.chunks_exact(geometry.example()).zip(gradients) {
                    let (wide, raster) = of_kernels.gradient();
                    output_raster.copy(gradient, raster, wide, shape);
                    of_kernels.add(example, input_raster);
                }
                Ok(())
            })?;
            Ok((input_gradient, Some(tensor(of_kernels.finish(), kernels.shape())?)))
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

    use super::super::gradient_check::{assert_close, assert_gradient, random_tensor, values};
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
                assert_close(&convolution.apply(&input, &weight).unwrap(), &expected);
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
        assert_eq!(values(&output(&view)), values(&output(&view.contiguous().unwrap())));
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
