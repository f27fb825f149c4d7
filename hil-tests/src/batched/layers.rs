//! Layers of the networks of m devices at once, each with weights of its own: forward, and back.
//!
//! Tensors of examples have the devices as their first dimension, and the examples of one device as their second; images
//! lie as `[m n, height, width, channels]`.

use candle_core::{Result, Tensor};

/// Sides of a convolution's kernel.
const KERNEL: usize = 3;

/// What a layer passes back, and what its weights and biases are to learn.
pub(super) struct Gradients {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
}

/// `[m, n, in]` to `[m, n, out]`, by weights `[m, out, in]` and biases `[m, out]`.
pub(super) fn linear(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    input.matmul(&weight.transpose(1, 2)?.contiguous()?)?.broadcast_add(&bias.unsqueeze(1)?)
}

/// What weights and biases of [`linear`] learn from the `gradient` of its output.
pub(super) fn linear_gradients(input: &Tensor, gradient: &Tensor) -> Result<Gradients> {
    let weight = gradient.transpose(1, 2)?.contiguous()?.matmul(input)?;
    Ok(Gradients { weight, bias: gradient.sum(1)? })
}

/// Rectifies, and says where nothing passes. NaN does.
pub(super) fn rectify(input: &Tensor) -> Result<(Tensor, Tensor)> {
    let blocked = input.le(0.0)?;
    Ok((block(&blocked, input)?, blocked))
}

/// The values, or 0 where they are blocked: no product, for 0 times infinity is not 0.
pub(super) fn block(blocked: &Tensor, values: &Tensor) -> Result<Tensor> {
    blocked.where_cond(&values.zeros_like()?, values)
}

/// The windows of a convolution 3 x 3 without padding: `[m n, height, width, channels]` to
/// `[m, n (height - 2) (width - 2), 9 channels]`.
pub(super) fn windows(images: &Tensor, devices: usize) -> Result<Tensor> {
    let (_, height, width, channels) = images.dims4()?;
    let (height, width) = (height - KERNEL + 1, width - KERNEL + 1);
    let shifted = |place: usize| images.narrow(1, place / KERNEL, height)?.narrow(2, place % KERNEL, width);
    let shifted = (0..KERNEL * KERNEL).map(shifted).collect::<Result<Vec<_>>>()?;
    Tensor::stack(&shifted, 4)?.reshape((devices, (), KERNEL * KERNEL * channels))
}

/// The gradient of the images of this shape, from that of their [`windows`].
pub(super) fn windows_back(gradient: &Tensor, shape: (usize, usize, usize, usize)) -> Result<Tensor> {
    let (images, height, width, channels) = shape;
    let (lower, narrower) = (height - KERNEL + 1, width - KERNEL + 1);
    let windows = gradient.reshape((images, lower, narrower, channels, KERNEL * KERNEL))?;
    let mut sum = Tensor::zeros(shape, gradient.dtype(), gradient.device())?;
    for place in 0..KERNEL * KERNEL {
        let (top, left) = (place / KERNEL, place % KERNEL);
        let shifted = windows.narrow(4, place, 1)?.squeeze(4)?;
        let shifted = shifted.pad_with_zeros(1, top, KERNEL - 1 - top)?;
        sum = (sum + shifted.pad_with_zeros(2, left, KERNEL - 1 - left)?)?;
    }
    Ok(sum)
}

/// Images pooled to their largest values, 2 x 2 to 1, the first of equal ones; an odd last row or column is left out.
///
/// Of two neighbours in a row first, and of two in a column then: only comparisons, value by value, where GPUs are fast.
pub(super) struct Pooled {
    pub(super) images: Tensor,
    /// Where the larger of two neighbours in a row is the left one.
    left: Tensor,
    /// Where the larger of those in a column is the upper one.
    upper: Tensor,
}

/// Pools images.
pub(super) fn pool(images: &Tensor) -> Result<Pooled> {
    let (_, height, width, _) = images.dims4()?;
    let even = images.narrow(1, 0, height / 2 * 2)?.narrow(2, 0, width / 2 * 2)?;
    let (rows, left) = larger_of_two(&even, 2)?;
    let (images, upper) = larger_of_two(&rows, 1)?;
    Ok(Pooled { images, left, upper })
}

/// The larger of each two neighbours along `dim`, and where that is the first of them.
fn larger_of_two(images: &Tensor, dim: usize) -> Result<(Tensor, Tensor)> {
    let mut pairs = images.dims().to_vec();
    pairs[dim] /= 2;
    pairs.insert(dim + 1, 2);
    let pairs = images.reshape(pairs)?;
    let of_each = |place| pairs.narrow(dim + 1, place, 1)?.squeeze(dim + 1)?.contiguous();
    let (first, second) = (of_each(0)?, of_each(1)?);
    // A NaN is larger than anything, wherever it is.
    let is_first = (first.ge(&second)? + first.ne(&first)?)?;
    Ok((is_first.where_cond(&first, &second)?, is_first))
}

impl Pooled {
    /// The gradient of the images of this shape, from that of what they were pooled to.
    pub(super) fn back(&self, gradient: &Tensor, shape: (usize, usize, usize, usize)) -> Result<Tensor> {
        let (_, height, width, _) = shape;
        let even = to_the_larger(&self.left, &to_the_larger(&self.upper, gradient, 1)?, 2)?;
        even.pad_with_zeros(1, 0, height % 2)?.pad_with_zeros(2, 0, width % 2)
    }
}

/// The gradient of each two neighbours along `dim`, from that of the larger ones.
fn to_the_larger(is_first: &Tensor, gradient: &Tensor, dim: usize) -> Result<Tensor> {
    let nothing = gradient.zeros_like()?;
    let (first, second) =
        (is_first.where_cond(gradient, &nothing)?, is_first.where_cond(&nothing, gradient)?);
    let mut shape = gradient.dims().to_vec();
    shape[dim] *= 2;
    Tensor::stack(&[first, second], dim + 1)?.reshape(shape)
}

/// The mean cross-entropy of each device, `[m]`, and its gradient, from logits and ones at the right classes, both
/// `[m, n, classes]`.
pub(super) fn cross_entropy(logits: &Tensor, right: &Tensor) -> Result<(Tensor, Tensor)> {
    let examples = logits.dim(1)? as f64;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(2)?)?;
    let log_probabilities = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(2)?.log()?)?;
    let of_right = block(&right.eq(0.0)?, &log_probabilities)?;
    let loss = (of_right.sum((1, 2))? * (-1.0 / examples))?;
    let gradient = ((log_probabilities.exp()? - right)? / examples)?;
    Ok((loss, gradient))
}

#[cfg(test)]
mod tests {
    use super::super::place::device;
    use super::*;

    #[test]
    fn the_first_of_the_largest_gets_the_gradient_and_nan_is_the_largest() {
        let nan = f32::NAN;
        let rows = [
            [1., 5., 2., 2., 9.],
            [3., 4., 2., 1., 9.],
            [nan, 7., 1., f32::INFINITY, 9.],
            [0., 8., nan, 3., 9.],
        ];
        let shape = (1, 4, 5, 1);
        let images = Tensor::new(&rows, device()).unwrap().reshape(shape).unwrap();
        let pooled = pool(&images).unwrap();
        let values = pooled.images.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values[..2], [5., 2.]);
        assert!(values[2].is_nan() && values.len() == 4, "{values:?}");
        let gradient = Tensor::new(&[[[[1_f32], [2.]], [[3.], [4.]]]], device()).unwrap();
        let back = pooled.back(&gradient, shape).unwrap().reshape((4, 5)).unwrap();
        let back = back.to_vec2::<f32>().unwrap();
        assert_eq!(back[..2], [[0., 1., 2., 0., 0.], [0.; 5]]);
        assert_eq!((back[2][0], back[2][1], back[3][0], back[3][1]), (3., 0., 0., 0.));
    }
}
