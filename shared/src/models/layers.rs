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

/// `[batch, inputs]` to `[batch, outputs]` with `weight` `[outputs, inputs]` and `bias` `[outputs]`.
pub(super) fn linear(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    input.matmul(&weight.t()?)?.broadcast_add(bias)
}

/// Convolution with stride 1 and no padding: `[batch, inputs, height, width]` to
/// `[batch, outputs, height - k + 1, width - k + 1]` with `weight` `[outputs, inputs, k, k]` and `bias`
/// `[outputs]`.
pub(super) fn conv2d(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    input.conv2d(weight, 0, 1, 1, 1)?.broadcast_add(&bias.reshape((1, (), 1, 1))?)
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
    let bound = (6.0 / (fans * kernel) as f32).sqrt();
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
    fn convolution_has_the_gradient_of_finite_differences() {
        for [height, width] in [[5, 5], [4, 7], [6, 3], [3, 3]] {
            let inputs = [
                random_tensor(&[2, 2, height, width], 1),
                random_tensor(&[3, 2, 3, 3], 2),
                random_tensor(&[3], 3),
            ];
            assert_gradient(&inputs, |x| conv2d(&x[0], &x[1], &x[2]));
        }
    }

    #[test]
    fn convolution_slides_the_kernel_without_flipping_it() {
        let input = tensor(&[1., 2., 3., 4., 5., 6.], &[1, 1, 2, 3]);
        let weight = tensor(&[1., 10., 100., 1000.], &[1, 1, 2, 2]);
        let output = conv2d(&input, &weight, &tensor(&[0.5], &[1])).unwrap();
        assert_eq!(output.dims(), [1, 1, 1, 2]);
        assert_eq!(output.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [5421.5, 6532.5]);
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
