//! Data sets, their partition over devices, and shard files.

/// A batch of examples, ready for a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Features, example by example, each flattened in row-major order.
    pub features: Vec<f32>,
    /// Shape of one example: `[28, 28]` for an image, `[30]` for a table row.
    pub shape: Vec<usize>,
    /// One class index per example.
    pub labels: Vec<u32>,
}
