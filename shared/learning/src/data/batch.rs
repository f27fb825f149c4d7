//! What a model computes on.

use super::Features;

/// A batch of examples, ready for a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Features, example by example, each flattened in row-major order.
    pub features: Features,
    /// Shape of one example: `[28, 28]` for an image, `[30]` for a table row.
    pub shape: Vec<usize>,
    /// One class index per example.
    pub labels: Vec<u32>,
}

impl Batch {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}
