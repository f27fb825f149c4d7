//! Fully connected layers, rectifiers and the loss: forward, and back.

use candle_core::{Result, Tensor};

/// What the weights and biases of a layer are to learn.
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

/// The weight of a convolution, `[m, out, in, k, k]`, as that of its windows.
pub(super) fn flat(weight: &Tensor) -> Result<Tensor> {
    weight.flatten_from(2)
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
