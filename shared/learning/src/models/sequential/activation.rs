//! The layers that change each value by itself.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::gemm::Element;
use super::super::operands::{by_type, operand, result, tensor, with_values};
use super::super::rectifier::relu;
use super::fitted::Fitted;
use super::shape::Shape;

/// The rectifier: 0 in place of what is negative.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Relu {}

/// The hyperbolic tangent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tanh {}

/// The Gaussian error linear unit, x times the share of a standard normal distribution below x (Hendrycks & Gimpel 2016).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gelu {}

impl Relu {
    pub(super) fn fitted(input: Shape) -> Fitted {
        Fitted::new(input, |_, piece| relu(piece))
    }
}

impl Tanh {
    pub(super) fn fitted(input: Shape) -> Fitted {
        Fitted::new(input, |_, piece| Curve::Tanh.apply(piece))
    }
}

impl Gelu {
    pub(super) fn fitted(input: Shape) -> Fitted {
        Fitted::new(input, |_, piece| Curve::Gelu.apply(piece))
    }
}

/// A smooth function of one number. It is not the platform's, so that it has the same bits on a server and on a board.
#[derive(Clone, Copy, Debug)]
enum Curve {
    Tanh,
    Gelu,
}

impl Curve {
    fn apply(self, input: &Tensor) -> Result<Tensor> {
        input.contiguous()?.apply_op1(self)
    }

    fn value(self, x: f64) -> f64 {
        match self {
            Curve::Tanh => libm::tanh(x),
            Curve::Gelu => x * below(x),
        }
    }

    /// The derivative at `x`, where the value is `y`.
    fn slope(self, x: f64, y: f64) -> f64 {
        match self {
            Curve::Tanh => 1.0 - y * y,
            Curve::Gelu => below(x) + x * libm::exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt(),
        }
    }

    fn forward<T: Element>(
        self,
        input: &CpuStorage,
        layout: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let values = operand::<T>(input, layout)?.iter();
        let output = values.map(|value| T::from_f64(self.value(value.to_f64()))).collect();
        Ok(result::<T>(output, layout.shape()))
    }

    fn backward<T: Element>(self, [input, output, gradient]: [&Tensor; 3]) -> Result<Tensor> {
        let values = with_values::<T, _>(input, |input| {
            with_values::<T, _>(output, |output| {
                with_values::<T, _>(gradient, |gradient| {
                    let values = input.iter().zip(output).zip(gradient);
                    let slope = |((x, y), gradient): ((&T, &T), &T)| {
                        T::from_f64(self.slope(x.to_f64(), y.to_f64()) * gradient.to_f64())
                    };
                    Ok(values.map(slope).collect::<Vec<T>>())
                })
            })
        })?;
        tensor(values, input.shape())
    }
}

/// The share of a standard normal distribution that lies below `x`.
fn below(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

impl CustomOp1 for Curve {
    fn name(&self) -> &'static str {
        "curve"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, candle_core::Shape)> {
        by_type!(input.dtype(), T => self.forward::<T>(input, layout))
    }

    fn bwd(&self, input: &Tensor, output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        by_type!(input.dtype(), T => self.backward::<T>([input, output, gradient])).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gradient_check::{assert_gradient, random_tensor, values};
    use super::*;

    #[test]
    fn curves_have_the_gradient_of_finite_differences() {
        for curve in [Curve::Tanh, Curve::Gelu] {
            assert_gradient(&[random_tensor(&[3, 7], 1)], |x| curve.apply(&(&x[0] * 3.0)?));
        }
    }

    #[test]
    fn curves_are_those_of_candle() {
        let input = (random_tensor(&[50], 1) * 4.0).unwrap();
        for (curve, expected) in [(Curve::Tanh, input.tanh()), (Curve::Gelu, input.gelu_erf())] {
            for (value, expected) in
                values(&curve.apply(&input).unwrap()).iter().zip(values(&expected.unwrap()))
            {
                assert!((value - expected).abs() < 1e-9, "{curve:?}: {value}, not {expected}");
            }
        }
    }
}
