//! The rectifier.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::gemm::Element;
use super::operands::{by_type, operand, result, tensor, with_values};

/// The positive values, and 0 elsewhere. Its derivative at 0 is 0; NaN stays NaN.
///
/// # Errors
/// If the values are not floats.
pub(super) fn relu(input: &Tensor) -> Result<Tensor> {
    input.contiguous()?.apply_op1(Rectifier)
}

struct Rectifier;

impl Rectifier {
    fn forward<T: Element>(input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let output = operand::<T>(input, layout)?.iter().map(|&value| rectified(value)).collect();
        Ok(result(output, layout.shape()))
    }

    /// What [`passed`] leaves of the gradient.
    fn backward<T: Element>(output: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let values = with_values::<T, _>(output, |output| {
            with_values(gradient, |gradient| Ok(output.iter().zip(gradient).map(passed).collect()))
        })?;
        tensor::<T>(values, output.shape())
    }
}

/// The value, or 0 if it is negative.
#[inline(always)]
pub(super) fn rectified<T: Element>(value: T) -> T {
    // As it is, NaN passes.
    if value <= T::zero() { T::zero() } else { value }
}

/// The gradient of a rectifier's input: that of its output, or 0 where the output is 0.
#[inline(always)]
pub(super) fn passed<T: Element>((&output, &gradient): (&T, &T)) -> T {
    if output <= T::zero() { T::zero() } else { gradient }
}

impl CustomOp1 for Rectifier {
    fn name(&self) -> &'static str {
        "rectifier"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_type!(input.dtype(), T => Rectifier::forward::<T>(input, layout))
    }

    fn bwd(&self, _input: &Tensor, output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        by_type!(output.dtype(), T => Rectifier::backward::<T>(output, gradient)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::super::gradient_check::{assert_gradient, random_tensor};
    use super::*;

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        assert_gradient(&[random_tensor(&[3, 7], 1)], |x| relu(&x[0]));
        assert_gradient(&[random_tensor(&[3, 7], 1)], |x| relu(&x[0].t()?));
    }

    #[test]
    fn it_is_flat_at_zero_and_keeps_nan() {
        let input = Var::new(&[-1f32, -0.0, 0.0, 2.0, f32::NEG_INFINITY], &Device::Cpu).unwrap();
        let output = relu(&input).unwrap();
        assert_eq!(output.to_vec1::<f32>().unwrap(), [0., 0., 0., 2., 0.]);
        let gradients = output.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&input).unwrap().to_vec1::<f32>().unwrap(), [0., 0., 0., 1., 0.]);
        let nan = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
        assert!(relu(&nan).unwrap().to_vec1::<f32>().unwrap()[0].is_nan());
    }
}
