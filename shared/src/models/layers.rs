//! What networks are made of, as functions of candle tensors; each gradient is checked against finite
//! differences.
//!
//! Max-pooling and the rectifier are not candle 0.11's own. Where these functions have no derivative (often:
//! a blank patch of an image gives equal, even zero, values to whole pooling windows) candle does not always
//! take a valid subgradient:
//! - `max_pool2d` has a wrong gradient everywhere: it is scaled by 1/4, and misaligned for odd sizes;
//! - `max` passes the whole gradient to *each* of several equal maxima;
//! - `relu` has derivative 1 at 0: valid, but the frameworks of the field have 0.

use candle_core::{D, Device, Result, Tensor};
use rand::Rng;

use crate::random::Stream;

/// Keeps the deviation of a constant channel from being 0.
const EPSILON: f64 = 1e-5;

/// `[batch, inputs]` to `[batch, outputs]` with `weight` `[outputs, inputs]` and `bias` `[outputs]`.
pub(super) fn linear(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    input.matmul(&weight.t()?)?.broadcast_add(bias)
}

/// Maximum of each 2 x 2 window: `[batch, channels, height, width]` to
/// `[batch, channels, height / 2, width / 2]`; an odd last row or column is left out.
///
/// The gradient goes to the first maximum of a window in row-major order.
pub(super) fn max_pool_2x2(input: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = input.dims4()?;
    let (rows, columns) = (height / 2, width / 2);
    let windows = input
        .narrow(2, 0, 2 * rows)?
        .narrow(3, 0, 2 * columns)?
        .reshape((batch, channels, rows, 2, columns, 2))?
        .permute((0, 1, 2, 4, 3, 5))?
        .reshape((batch, channels, rows, columns, 4))?;
    windows.gather(&windows.argmax_keepdim(D::Minus1)?, D::Minus1)?.squeeze(D::Minus1)
}

/// Rectifier: the positive values, and 0 elsewhere. Its derivative at 0 is 0; NaN stays NaN.
pub(super) fn relu(input: &Tensor) -> Result<Tensor> {
    let zeros = input.zeros_like()?;
    input.le(&zeros)?.where_cond(&zeros, input)
}

/// Batch normalisation of `[batch, channels, height, width]`: each channel is shifted and scaled to mean 0 and
/// variance 1 over the batch and its pixels, then scaled by `gamma` and shifted by `beta` (`[channels]` each).
///
/// The statistics are always those of this batch. The small constant under the root is 1e-5.
pub(super) fn batch_norm(input: &Tensor, gamma: &Tensor, beta: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = input.dims4()?;
    let pixels = input.reshape((batch, channels, height * width))?;
    // First over the pixels, then over the batch: sums of few values lose less, and rows are summed faster.
    let mean = |values: &Tensor| values.mean_keepdim(2)?.mean_keepdim(0);
    let centred = pixels.broadcast_sub(&mean(&pixels)?)?;
    let deviation = (mean(&centred.sqr()?)? + EPSILON)?.sqrt()?;
    let scale = (gamma.reshape((1, (), 1))? / deviation)?;
    let normalised = centred.broadcast_mul(&scale)?.broadcast_add(&beta.reshape((1, (), 1))?)?;
    normalised.reshape((batch, channels, height, width))
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

fn uniform(bound: f32, values: &mut [f32], random: &mut Stream) {
    values.fill_with(|| random.random_range(-bound..bound));
}

#[cfg(test)]
mod tests {
    use candle_core::Var;
    use rand::SeedableRng;

    use super::super::gradient_check::{assert_gradient, random_tensor};
    use super::*;

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    fn gradient(layer: impl Fn(&Tensor) -> Result<Tensor>, input: &Tensor) -> Tensor {
        let input = Var::from_tensor(input).unwrap();
        let gradients = layer(&input).unwrap().sum_all().unwrap().backward().unwrap();
        gradients.get(&input).unwrap().clone()
    }

    #[test]
    fn linear_has_the_gradient_of_finite_differences() {
        let inputs = [random_tensor(&[3, 5], 1), random_tensor(&[4, 5], 2), random_tensor(&[4], 3)];
        assert_gradient(&inputs, |x| linear(&x[0], &x[1], &x[2]));
    }

    #[test]
    fn max_pooling_has_the_gradient_of_finite_differences() {
        for [height, width] in [[4, 4], [5, 4], [4, 7], [3, 5], [2, 2]] {
            assert_gradient(&[random_tensor(&[2, 3, height, width], 1)], |x| max_pool_2x2(&x[0]));
        }
    }

    #[test]
    fn max_pooling_takes_each_window_and_leaves_an_odd_edge_out() {
        let input = Tensor::arange(0f32, 15., &Device::Cpu).unwrap().reshape((1, 1, 3, 5)).unwrap();
        let output = max_pool_2x2(&input).unwrap();
        assert_eq!(output.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [6., 8.]);
    }

    #[test]
    fn equal_maxima_share_one_gradient() {
        let blank = Tensor::zeros((1, 1, 3, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let gradient = gradient(max_pool_2x2, &blank).reshape((3, 4)).unwrap();
        assert_eq!(
            gradient.to_vec2::<f32>().unwrap(),
            [[1., 0., 1., 0.], [0., 0., 0., 0.], [0., 0., 0., 0.]]
        );
    }

    #[test]
    fn rectifier_has_the_gradient_of_finite_differences() {
        assert_gradient(&[random_tensor(&[3, 7], 1)], |x| relu(&x[0]));
    }

    #[test]
    fn rectifier_is_flat_at_zero_and_keeps_nan() {
        let input = Tensor::new(&[-1f32, -0.0, 0.0, 2.0, f32::NEG_INFINITY], &Device::Cpu).unwrap();
        assert_eq!(relu(&input).unwrap().to_vec1::<f32>().unwrap(), [0., 0., 0., 2., 0.]);
        assert_eq!(gradient(relu, &input).to_vec1::<f32>().unwrap(), [0., 0., 0., 1., 0.]);
        let nan = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
        assert!(relu(&nan).unwrap().to_vec1::<f32>().unwrap()[0].is_nan());
    }

    #[test]
    fn batch_normalisation_has_the_gradient_of_finite_differences() {
        for shape in [[3, 2, 4, 3], [1, 3, 2, 5], [4, 1, 1, 1]] {
            let channels = shape[1];
            let inputs =
                [random_tensor(&shape, 1), random_tensor(&[channels], 2), random_tensor(&[channels], 3)];
            assert_gradient(&inputs, |x| batch_norm(&x[0], &x[1], &x[2]));
        }
    }

    #[test]
    fn batch_normalisation_gives_each_channel_its_mean_and_deviation() {
        let (gamma, beta) = (tensor(&[2., 3.], &[2]), tensor(&[-1., 5.], &[2]));
        let input = tensor(&[1., 3., 100., 100., 5., 7., 100., 100.], &[2, 2, 1, 2]);
        let output = batch_norm(&input, &gamma, &beta).unwrap();
        let values = output.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let deviation = 5f32.sqrt();
        let expected = [-6. / deviation - 1., -2. / deviation - 1., 5., 5.];
        assert!(values.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-4));
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
