//! Per-coordinate statistics of models, `[k, d]`, in 64 bits: what does not move must not seem to.

use candle_core::{DType, Result, Tensor};

/// Mean of each coordinate, `[1, d]`.
pub(super) fn mean(models: &Tensor) -> Result<Tensor> {
    // Tensor::mean multiplies with one over k, which leaves equal values next to themselves.
    models.sum_keepdim(0)?.broadcast_div(&count(models)?)
}

/// Mean and population standard deviation of each coordinate, `[1, d]`.
pub(super) fn mean_and_deviation(models: &Tensor) -> Result<(Tensor, Tensor)> {
    let mean = mean(models)?;
    let squares = models.broadcast_sub(&mean)?.sqr()?.sum_keepdim(0)?;
    Ok((mean, squares.broadcast_div(&count(models)?)?.sqrt()?))
}

fn count(models: &Tensor) -> Result<Tensor> {
    Tensor::new(&[[models.dim(0)? as f64]], models.device())
}

/// The nearest finite 32 bits: a crafted value beyond the range would only be refused as non-finite.
pub(super) fn finite(values: &Tensor) -> Result<Tensor> {
    values.clamp(f64::from(f32::MIN), f64::from(f32::MAX))?.to_dtype(DType::F32)
}
