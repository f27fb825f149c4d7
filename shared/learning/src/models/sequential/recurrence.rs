//! The steps of a gated recurrent unit, forward and backward through time, as one operation.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::super::gemm::{Element, Matrix, multiply};
use super::super::operands::{by_type, operand, result, tensor, with_values};

/// The states `[batch, steps, units]`, from what the input makes of the `gates` reset, update and new
/// `[batch, steps, 3 units]`, where `weight` `[3 units, units]` and `bias` `[3 units]` make the rest of the state before. The first
/// state comes after zeros. With u for the update gate, n for the new one and r for the reset gate:
///
/// ```text
/// r = σ(gates_r + W_r h + b_r)    n = tanh(gates_n + r (W_n h + b_n))
/// u = σ(gates_u + W_u h + b_u)    next h = (1 - u) n + u h
/// ```
///
/// # Errors
/// If the shapes do not fit each other.
pub(super) fn recurrence(gates: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    gates.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Recurrence)
}

struct Recurrence;

/// The shapes of one such unit.
#[derive(Clone, Copy)]
struct Geometry {
    batch: usize,
    steps: usize,
    units: usize,
}

impl Geometry {
    fn new(gates: &[usize], weight: &[usize], bias: &[usize]) -> Result<Self> {
        match (gates, weight, bias) {
            (&[batch, steps, width], &[rows, units], &[biases])
                if width == 3 * units && rows == width && biases == width && units > 0 && steps > 0 =>
            {
                Ok(Geometry { batch, steps, units })
            }
            _ => bail!("gates of {gates:?} cannot have the weight {weight:?} and the bias {bias:?}"),
        }
    }

    /// Where the values of an example in a step begin, of a tensor with so many for each.
    fn place(self, example: usize, step: usize, width: usize) -> usize {
        (example * self.steps + step) * width
    }

    /// What `weight` and `bias` make of the state `before`, `[batch, 3 units]`, in `product`.
    fn multiply<T: Element>(self, before: &[T], weight: &[T], bias: &[T], product: &mut [T]) {
        let width = 3 * self.units;
        product.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
        let before = Matrix::new(before, [self.batch, self.units], self.units);
        let weight = Matrix::new(weight, [width, self.units], self.units);
        multiply(before, weight.transposed(), product, width, true);
    }
}

/// What the gates of one unit are in a step.
struct Gates {
    reset: f64,
    update: f64,
    new: f64,
    /// What the state before makes of the new gate, before the reset gate scales it.
    recalled: f64,
}

impl Gates {
    fn of<T: Element>(unit: usize, units: usize, gates: &[T], product: &[T]) -> Self {
        let at = |values: &[T], gate: usize| values[gate * units + unit].to_f64();
        let reset = sigmoid(at(gates, 0) + at(product, 0));
        let update = sigmoid(at(gates, 1) + at(product, 1));
        let recalled = at(product, 2);
        Gates { reset, update, new: libm::tanh(at(gates, 2) + reset * recalled), recalled }
    }
}

/// Not the platform's exponential, so that it has the same bits on a server and on a board.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

impl Recurrence {
    fn forward<T: Element>(
        [gates, weight, bias]: [&CpuStorage; 3],
        [gates_layout, weight_layout, bias_layout]: [&Layout; 3],
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(gates_layout.dims(), weight_layout.dims(), bias_layout.dims())?;
        let Geometry { batch, steps, units } = geometry;
        let gates = operand::<T>(gates, gates_layout)?;
        let (weight, bias) = (operand::<T>(weight, weight_layout)?, operand::<T>(bias, bias_layout)?);
        let mut output = vec![T::zero(); batch * steps * units];
        let (mut state, mut product) = (vec![T::zero(); batch * units], vec![T::zero(); batch * 3 * units]);
        for step in 0..steps {
            geometry.multiply(&state, weight, bias, &mut product);
            let rows = state.chunks_exact_mut(units).zip(product.chunks_exact(3 * units));
            for (example, (state, product)) in rows.enumerate() {
                let gates = &gates[geometry.place(example, step, 3 * units)..][..3 * units];
                for (unit, value) in state.iter_mut().enumerate() {
                    let Gates { update, new, .. } = Gates::of(unit, units, gates, product);
                    *value = T::from_f64((1.0 - update) * new + update * value.to_f64());
                }
                output[geometry.place(example, step, units)..][..units].copy_from_slice(state);
            }
        }
        Ok(result(output, (batch, steps, units)))
    }

    /// The gradients of gates, weight and bias.
    fn backward<T: Element>(
        [gates, weight, bias, output, gradient]: [&Tensor; 5],
    ) -> Result<[Option<Tensor>; 3]> {
        let geometry = Geometry::new(gates.dims(), weight.dims(), bias.dims())?;
        let gradients = with_values::<T, _>(gates, |gates| {
            with_values(weight, |weight| {
                with_values(bias, |bias| {
                    with_values(output, |output| {
                        with_values(gradient, |gradient| {
                            Ok(through_time(geometry, [gates, weight, bias, output, gradient]))
                        })
                    })
                })
            })
        })?;
        let [of_gates, of_weight, of_bias] = gradients;
        Ok([
            Some(tensor(of_gates, gates.shape())?),
            Some(tensor(of_weight, weight.shape())?),
            Some(tensor(of_bias, bias.shape())?),
        ])
    }
}

/// The gradients of gates, weight and bias, from the last step to the first. The gates are computed again from the states.
fn through_time<T: Element>(
    geometry: Geometry,
    [gates, weight, bias, output, gradient]: [&[T]; 5],
) -> [Vec<T>; 3] {
    let Geometry { batch, steps, units } = geometry;
    let width = 3 * units;
    let (mut of_gates, mut of_weight, mut of_bias) =
        (vec![T::zero(); gates.len()], vec![T::zero(); weight.len()], vec![T::zero(); bias.len()]);
    // The gradients of the state after a step, and of what weight and bias make of the one before.
    let (mut of_state, mut of_product) = (vec![T::zero(); batch * units], vec![T::zero(); batch * width]);
    let (mut before, mut product) = (vec![T::zero(); batch * units], vec![T::zero(); batch * width]);
    for step in (0..steps).rev() {
        for (example, before) in before.chunks_exact_mut(units).enumerate() {
            match step.checked_sub(1) {
                Some(last) => {
                    before.copy_from_slice(&output[geometry.place(example, last, units)..][..units]);
                }
                None => before.fill(T::zero()),
            }
        }
        geometry.multiply(&before, weight, bias, &mut product);
        for example in 0..batch {
            let place = geometry.place(example, step, width);
            let gradient = &gradient[geometry.place(example, step, units)..][..units];
            for unit in 0..units {
                let row = example * units + unit;
                let gate =
                    Gates::of(unit, units, &gates[place..][..width], &product[example * width..][..width]);
                let Gates { reset, update, new, recalled } = gate;
                let of_next = of_state[row].to_f64() + gradient[unit].to_f64();
                let by_new = of_next * (1.0 - update) * (1.0 - new * new);
                let by_update = of_next * (before[row].to_f64() - new) * update * (1.0 - update);
                let by_reset = by_new * recalled * reset * (1.0 - reset);
                of_state[row] = T::from_f64(of_next * update);
                for (number, by_gate) in [by_reset, by_update, by_new].into_iter().enumerate() {
                    of_gates[place + number * units + unit] = T::from_f64(by_gate);
                    let scale = if number == 2 { reset } else { 1.0 };
                    of_product[example * width + number * units + unit] = T::from_f64(by_gate * scale);
                }
            }
        }
        for row in of_product.chunks_exact(width) {
            of_bias.iter_mut().zip(row).for_each(|(sum, &value)| *sum += value);
        }
        let by_product = Matrix::new(&of_product, [batch, width], width);
        multiply(
            by_product.transposed(),
            Matrix::new(&before, [batch, units], units),
            &mut of_weight,
            units,
            true,
        );
        multiply(by_product, Matrix::new(weight, [width, units], units), &mut of_state, units, true);
    }
    [of_gates, of_weight, of_bias]
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        "recurrence"
    }

    fn cpu_fwd(
        &self,
        gates: &CpuStorage,
        gates_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let layouts = [gates_layout, weight_layout, bias_layout];
        by_type!(gates.dtype(), T => Recurrence::forward::<T>([gates, weight, bias], layouts))
    }

    fn bwd(
        &self,
        gates: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_type!(gates.dtype(), T => Recurrence::backward::<T>([gates, weight, bias, output, gradient]))
            .map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gradient_check::{assert_close, assert_gradient, random_tensor};
    use super::*;

    fn inputs([batch, steps, units]: [usize; 3]) -> [Tensor; 3] {
        [
            random_tensor(&[batch, steps, 3 * units], 1),
            random_tensor(&[3 * units, units], 2),
            random_tensor(&[3 * units], 3),
        ]
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for shape in [[2, 4, 3], [1, 1, 2], [3, 5, 1]] {
            assert_gradient(&inputs(shape), |x| recurrence(&x[0], &x[1], &x[2]));
        }
    }

    /// The definition, with candle's operations on whole tensors.
    #[test]
    fn it_is_the_unit_of_its_definition() {
        let (batch, steps, units) = (3, 6, 4);
        let [gates, weight, bias] = inputs([batch, steps, units]);
        let sigmoid = |x: Tensor| (x.neg().unwrap().exp().unwrap() + 1.0).unwrap().recip().unwrap();
        let mut state = (random_tensor(&[batch, units], 1) * 0.0).unwrap();
        let mut states = Vec::new();
        for step in 0..steps {
            let given = gates.narrow(1, step, 1).unwrap().squeeze(1).unwrap();
            let recalled = state.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
            let part = |of: &Tensor, gate: usize| of.narrow(1, gate * units, units).unwrap();
            let reset = sigmoid((part(&given, 0) + part(&recalled, 0)).unwrap());
            let update = sigmoid((part(&given, 1) + part(&recalled, 1)).unwrap());
            let new = (part(&given, 2) + (reset * part(&recalled, 2)).unwrap()).unwrap().tanh().unwrap();
            let kept = (&update * &state).unwrap();
            state = ((new * (1.0 - update).unwrap()).unwrap() + kept).unwrap();
            states.push(state.unsqueeze(1).unwrap());
        }
        assert_close(&recurrence(&gates, &weight, &bias).unwrap(), &Tensor::cat(&states, 1).unwrap());
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let [gates, weight, bias] = inputs([2, 3, 2]);
        let refused = recurrence(&gates, &bias.unsqueeze(0).unwrap(), &bias).unwrap_err().to_string();
        assert!(refused.contains("cannot have the weight [1, 6]"), "{refused}");
        assert!(recurrence(&weight, &weight, &bias).is_err());
    }
}
