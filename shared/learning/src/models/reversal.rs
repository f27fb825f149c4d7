//! The order of dimensions, turned round.
//!
//! candle copies a permuted tensor value by value, with an index of all dimensions for each, and once more for the
//! gradient: on the weights and features of the networks here that took a tenth of a training step.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::gemm::{Element, column};
use super::operands::{by_type, operand, result, tensor, with_values};

/// The weight `[outputs, inputs, height, width]` of a convolution as its kernels `[height, width, inputs, outputs]`.
///
/// # Errors
/// If it has not four dimensions.
pub(super) fn kernels(weight: &Tensor) -> Result<Tensor> {
    let (outputs, inputs, height, width) = weight.dims4()?;
    let weight = weight.reshape((1, outputs, inputs, height * width))?;
    weight.apply_op1(Reversal)?.reshape((height, width, inputs, outputs))
}

/// Pictures `[batch, height, width, channels]` channel by channel: `[batch, channels * height * width]`.
///
/// # Errors
/// If they have not four dimensions.
pub(super) fn channel_by_channel(pictures: &Tensor) -> Result<Tensor> {
    let (batch, height, width, channels) = pictures.dims4()?;
    pictures.reshape((batch, height * width, 1, channels))?.apply_op1(Reversal)?.flatten_from(1)
}

/// `[batch, a, b, c]` to `[batch, c, b, a]`.
struct Reversal;

impl Reversal {
    fn values<T: Element>(values: &[T], dims: &[usize]) -> Result<(Vec<T>, [usize; 4])> {
        let &[batch, a, b, c] = dims else { bail!("expected four dimensions, not {dims:?}") };
        let mut reversed = Vec::with_capacity(values.len());
        for example in values.chunks_exact((a * b * c).max(1)) {
            for place in 0..c {
                for middle in 0..b {
                    reversed.extend(column(example, b * c, middle * c + place));
                }
            }
        }
        Ok((reversed, [batch, c, b, a]))
    }

    fn forward<T: Element>(input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (values, dims) = Self::values(operand::<T>(input, layout)?, layout.dims())?;
        Ok(result(values, &dims))
    }

    /// Turned round once more.
    fn backward<T: Element>(gradient: &Tensor) -> Result<Tensor> {
        let (values, dims) = with_values(gradient, |values| Self::values::<T>(values, gradient.dims()))?;
        tensor(values, &dims)
    }
}

impl CustomOp1 for Reversal {
    fn name(&self) -> &'static str {
        "reversal"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_type!(input.dtype(), T => Self::forward::<T>(input, layout))
    }

    fn bwd(&self, _input: &Tensor, _output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        by_type!(gradient.dtype(), T => Self::backward::<T>(gradient)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradient, random_tensor, values};
    use super::*;

    #[test]
    fn it_does_what_candle_does() {
        let weight = random_tensor(&[5, 3, 2, 4], 1);
        let expected = weight.permute((2, 3, 1, 0)).unwrap();
        let kernels = kernels(&weight).unwrap();
        assert_eq!((kernels.dims(), values(&kernels)), (expected.dims(), values(&expected)));

        let expected = weight.permute((0, 3, 1, 2)).unwrap().flatten_from(1).unwrap();
        let features = channel_by_channel(&weight).unwrap();
        assert_eq!((features.dims(), values(&features)), (expected.dims(), values(&expected)));
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        let inputs = [random_tensor(&[3, 2, 2, 3], 1)];
        assert_gradient(&inputs, |x| kernels(&x[0]));
        assert_gradient(&inputs, |x| channel_by_channel(&x[0]));
    }

    #[test]
    fn other_dimensions_are_refused() {
        assert!(kernels(&random_tensor(&[3, 2, 2], 1)).is_err());
        assert!(channel_by_channel(&random_tensor(&[3, 2], 1)).is_err());
    }
}
