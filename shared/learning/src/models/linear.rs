//! The fully connected layer.

use std::iter::repeat_n;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::gemm::{Element, Matrix, column, multiply};
use super::operands::{by_type, operand, result, tensor, with_values};

/// `[batch, inputs]` to `[batch, outputs]` with `weight` `[outputs, inputs]` and `bias` `[outputs]`.
///
/// # Errors
/// If the shapes do not fit each other.
pub(super) fn linear(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    input.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Linear)
}

struct Linear;

/// The shapes of one layer.
struct Geometry {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

impl Geometry {
    fn new(input: &[usize], weight: &[usize], bias: &[usize]) -> Result<Self> {
        match (input, weight, bias) {
            (&[batch, inputs], &[outputs, columns], &[biases])
                if inputs == columns && outputs == biases && outputs > 0 =>
            {
                Ok(Geometry { batch, inputs, outputs })
            }
            _ => bail!("a layer of {input:?} cannot have the weight {weight:?} and the bias {bias:?}"),
        }
    }

    fn input<'a, T>(&self, values: &'a [T]) -> Matrix<'a, T> {
        Matrix::new(values, [self.batch, self.inputs], self.inputs)
    }

    fn weight<'a, T>(&self, values: &'a [T]) -> Matrix<'a, T> {
        Matrix::new(values, [self.outputs, self.inputs], self.inputs)
    }

    fn output<'a, T>(&self, values: &'a [T]) -> Matrix<'a, T> {
        Matrix::new(values, [self.batch, self.outputs], self.outputs)
    }

    fn forward<T: Element>(&self, input: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        // A row for each output, so that of the two factors the product copies the smaller one into vectors.
        let mut rows: Vec<T> = bias.iter().flat_map(|&bias| repeat_n(bias, self.batch)).collect();
        multiply(self.weight(weight), self.input(input).transposed(), &mut rows, self.batch, true);
        (0..self.batch).flat_map(|example| column(&rows, self.batch, example)).copied().collect()
    }

    fn backward_input<T: Element>(&self, weight: &[T], gradient: &[T]) -> Vec<T> {
        let mut product = vec![T::zero(); self.batch * self.inputs];
        multiply(self.output(gradient), self.weight(weight), &mut product, self.inputs, false);
        product
    }

    fn backward_weight<T: Element>(&self, input: &[T], gradient: &[T]) -> Vec<T> {
        let mut product = vec![T::zero(); self.outputs * self.inputs];
        multiply(self.output(gradient).transposed(), self.input(input), &mut product, self.inputs, false);
        product
    }

    fn backward_bias<T: Element>(&self, gradient: &[T]) -> Vec<T> {
        let mut sums = vec![T::zero(); self.outputs];
        for row in gradient.chunks_exact(self.outputs) {
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
        }
        sums
    }
}

impl Linear {
    fn forward<T: Element>(
        [input, weight, bias]: [&CpuStorage; 3],
        layouts: [&Layout; 3],
    ) -> Result<(CpuStorage, Shape)> {
        let [input_layout, weight_layout, bias_layout] = layouts;
        let geometry = Geometry::new(input_layout.dims(), weight_layout.dims(), bias_layout.dims())?;
        let output = geometry.forward::<T>(
            operand(input, input_layout)?,
            operand(weight, weight_layout)?,
            operand(bias, bias_layout)?,
        );
        Ok(result(output, (geometry.batch, geometry.outputs)))
    }

    fn backward<T: Element>([input, weight, bias, gradient]: [&Tensor; 4]) -> Result<[Option<Tensor>; 3]> {
        let geometry = Geometry::new(input.dims(), weight.dims(), bias.dims())?;
        with_values::<T, _>(gradient, |gradient| {
            // Of the data itself nobody wants the gradient.
            let input_gradient = if input.track_op() {
                let values =
                    with_values(weight, |weight| Ok(geometry.backward_input::<T>(weight, gradient)))?;
                Some(tensor(values, input.shape())?)
            } else {
                None
            };
            let values = with_values(input, |input| Ok(geometry.backward_weight::<T>(input, gradient)))?;
            let bias_gradient = tensor(geometry.backward_bias(gradient), bias.shape())?;
            Ok([input_gradient, Some(tensor(values, weight.shape())?), Some(bias_gradient)])
        })
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let layouts = [input_layout, weight_layout, bias_layout];
        by_type!(input.dtype(), T => Linear::forward::<T>([input, weight, bias], layouts))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_type!(input.dtype(), T => Linear::backward::<T>([input, weight, bias, gradient])).map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_close, assert_gradient, random_tensor};
    use super::*;

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for [batch, inputs, outputs] in [[3, 5, 4], [1, 2, 3], [4, 1, 1]] {
            let inputs = [
                random_tensor(&[batch, inputs], 1),
                random_tensor(&[outputs, inputs], 2),
                random_tensor(&[outputs], 3),
            ];
            assert_gradient(&inputs, |x| linear(&x[0], &x[1], &x[2]));
        }
    }

    #[test]
    fn it_computes_what_candle_does() {
        let (input, weight) = (random_tensor(&[6, 40], 1), random_tensor(&[30, 40], 2));
        let bias = random_tensor(&[30], 3);
        let expected = input.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
        assert_close(&linear(&input, &weight, &bias).unwrap(), &expected);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (weight, bias) in [([3, 4], 3), ([3, 5], 2), ([5, 3], 5)] {
            let (weight, bias) = (random_tensor(&weight, 1), random_tensor(&[bias], 2));
            let refused = linear(&random_tensor(&[2, 5], 3), &weight, &bias).unwrap_err().to_string();
            assert!(refused.contains("cannot have the weight"), "{refused}");
        }
    }
}
