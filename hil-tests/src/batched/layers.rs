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

/// Images pooled to their largest values, 2 x 2 to 1, and which of the four those are; an odd last row or column is left
/// out.
pub(super) struct Pooled {
    pub(super) images: Tensor,
    largest: Tensor,
}

/// Pools images.
pub(super) fn pool(images: &Tensor) -> Result<Pooled> {
    let (count, height, width, channels) = images.dims4()?;
    let (lower, narrower) = (height / 2, width / 2);
    let even = images.narrow(1, 0, 2 * lower)?.narrow(2, 0, 2 * narrower)?.contiguous()?;
    let fours =
        even.reshape(vec![count, lower, 2, narrower, 2, channels])?.permute(vec![0, 1, 3, 5, 2, 4])?;
    let fours = fours.contiguous()?.reshape((count, lower, narrower, channels, 4))?;
    // A NaN counts as infinity does, wherever it is.
    let largest =
        fours.ne(&fours)?.where_cond(&(fours.ones_like()? * f64::INFINITY)?, &fours)?.argmax_keepdim(4)?;
    Ok(Pooled { images: fours.gather(&largest, 4)?.squeeze(4)?, largest })
}

impl Pooled {
    /// The gradient of the images of this shape, from that of what they were pooled to.
    pub(super) fn back(&self, gradient: &Tensor, shape: (usize, usize, usize, usize)) -> Result<Tensor> {
        let (count, height, width, channels) = shape;
        let (lower, narrower) = (height / 2, width / 2);
        let nothing =
            Tensor::zeros((count, lower, narrower, channels, 4), gradient.dtype(), gradient.device())?;
        let fours = nothing.scatter_add(&self.largest, &gradient.unsqueeze(4)?.contiguous()?, 4)?;
        let fours = fours.reshape(vec![count, lower, narrower, channels, 2, 2])?;
        let even = fours.permute(vec![0, 1, 4, 2, 5, 3])?.contiguous()?;
        let even = even.reshape((count, 2 * lower, 2 * narrower, channels))?;
        even.pad_with_zeros(1, 0, height % 2)?.pad_with_zeros(2, 0, width % 2)
    }
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
