//! What networks share: the loss they are trained on, the weights they start from, and evaluation in pieces.

use candle_core::{D, Device, Result, Tensor};
use rand::Rng;

use crate::random::Stream;

/// Examples that are evaluated together.
const PIECE: usize = 20;

/// The `input` `[batch, ..]` of a network in pieces of a few examples; in one if the network is trained: if the
/// gradient of its `parameter` is wanted.
///
/// What a network makes of a piece is in the processor's caches when it goes on with it, and only the piece at
/// hand has to be in memory twice.
pub(super) fn pieces(input: &Tensor, parameter: &Tensor) -> Result<Vec<Tensor>> {
    let count = if parameter.track_op() { 1 } else { input.dim(0)?.div_ceil(PIECE) };
    input.chunk(count, 0)
}

/// Softmax cross-entropy of `logits` `[batch, classes]`, averaged over the batch; a scalar.
pub(super) fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    // The shift cancels out; it is there for `exp` not to overflow.
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_partition = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let labels = Tensor::from_slice(labels, (labels.len(), 1), &Device::Cpu)?;
    (log_partition - shifted.gather(&labels, D::Minus1)?)?.mean_all()
}

/// Xavier (Glorot) uniform values for a weight of `shape` `[outputs, inputs, ..kernel]`.
pub(super) fn xavier_uniform(shape: &[usize], values: &mut [f32], random: &mut Stream) {
    let fans: usize = shape.iter().take(2).sum();
    let kernel: usize = shape.iter().skip(2).product();
    uniform((6.0 / (fans * kernel) as f32).sqrt(), values, random);
}

/// He uniform values for a weight of `shape` `[outputs, inputs, ..kernel]` that a rectifier follows: they have
/// the variance 2 / (values under one kernel).
pub(super) fn he_uniform(shape: &[usize], values: &mut [f32], random: &mut Stream) {
    let fan_in: usize = shape.iter().skip(1).product();
    uniform((6.0 / fan_in as f32).sqrt(), values, random);
}

/// Uniform values up to `bound`, and down to its negative.
pub(super) fn uniform(bound: f32, values: &mut [f32], random: &mut Stream) {
    values.fill_with(|| random.random_range(-bound..bound));
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::super::gradient_check::{assert_gradient, random_tensor};
    use super::*;

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn cross_entropy_has_the_gradient_of_finite_differences() {
        assert_gradient(&[random_tensor(&[4, 5], 1)], |x| cross_entropy(&x[0], &[0, 4, 2, 2]));
    }

    #[test]
    fn cross_entropy_is_the_log_of_the_odds_and_does_not_overflow() {
        let loss = |logits: &[f32], labels: &[u32]| {
            cross_entropy(&tensor(logits, &[labels.len(), 2]), labels).unwrap().to_scalar::<f32>().unwrap()
        };
        assert_eq!(loss(&[0., 0.], &[1]), std::f32::consts::LN_2);
        assert_eq!(loss(&[3e38, 0., 0., 1000.], &[0, 0]), 500.0);
    }

    #[test]
    fn xavier_values_fill_their_interval() {
        let mut values = vec![0.0; 30 * 9];
        xavier_uniform(&[30, 1, 3, 3], &mut values, &mut Stream::seed_from_u64(1));
        let bound = (6.0f32 / (31.0 * 9.0)).sqrt();
        let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        assert!(largest <= bound && largest > 0.95 * bound, "{largest} of {bound}");
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.2 * bound, "{mean}");
    }
}
