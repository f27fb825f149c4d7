//! What a model takes: the check that each makes before it computes.

use super::ModelError;
use crate::data::Batch;
use crate::parameters::Layout;

/// The examples that a model takes.
pub(super) struct Input {
    /// Shape of one example.
    pub(super) shape: Vec<usize>,
    /// Number of classes.
    pub(super) classes: usize,
}

impl Input {
    /// Number of features of one example.
    pub(super) fn features(&self) -> usize {
        self.shape.iter().product()
    }

    /// Checks that parameters of this layout and a batch can be computed with.
    ///
    /// # Errors
    /// As [`Model::loss_and_gradient`](super::Model::loss_and_gradient).
    pub(super) fn check(&self, layout: &Layout, parameters: &[f32], batch: &Batch) -> Result<(), ModelError> {
        layout.check(parameters)?;
        if batch.shape != self.shape {
            return Err(ModelError::BatchShape { expected: self.shape.clone(), actual: batch.shape.clone() });
        }
        let (features, labels, each) = (batch.features.len(), batch.labels.len(), self.features());
        if labels.checked_mul(each) != Some(features) {
            return Err(ModelError::BatchLength { features, labels, each });
        }
        if labels == 0 {
            return Err(ModelError::Empty);
        }
        let classes = self.classes;
        match batch.labels.iter().position(|&label| label as usize >= classes) {
            Some(example) => Err(ModelError::Label { example, label: batch.labels[example], classes }),
            None => Ok(()),
        }
    }
}
