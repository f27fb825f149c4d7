//! The trainable models, behind one trait.

use std::sync::Arc;

use crate::data::Batch;
use crate::parameters::{Layout, Parameters};
use crate::random::Stream;

/// A classifier trained by gradient descent on softmax cross-entropy.
pub trait Model: Send + Sync {
    /// Names and shapes of the parameters.
    fn layout(&self) -> &Arc<Layout>;

    /// The initial global model, drawn from `random`.
    fn initial(&self, random: &mut Stream) -> Parameters;

    /// Mean cross-entropy of `batch` under `parameters` (length d), and its gradient (length d).
    ///
    /// # Errors
    /// If the batch does not have the model's input shape, or candle fails.
    fn loss_and_gradient(&self, parameters: &[f32], batch: &Batch) -> Result<(f32, Vec<f32>), ModelError>;

    /// Logits of `batch` under `parameters`: `batch.len()` rows of one value per class, row by row.
    ///
    /// # Errors
    /// As [`Model::loss_and_gradient`].
    fn logits(&self, parameters: &[f32], batch: &Batch) -> Result<Vec<f32>, ModelError>;
}

/// Why a model could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// candle failed.
    #[error("tensor computation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}
