//! A layer that is fitted to what comes in.

use candle_core::{Result, Tensor};

use super::shape::Shape;

/// What the values of a tensor begin as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Start {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// He uniform values: of a weight that a rectifier or its like follows.
    He,
    /// Xavier uniform values: of a weight that nothing follows.
    Xavier,
    /// Uniform values up to this, and down to its negative.
    Uniform(f32),
}

/// A tensor of parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weights {
    /// Its name, below that of the layer.
    pub(super) name: String,
    /// Its shape.
    pub(super) shape: Vec<usize>,
    /// What its values begin as.
    pub(super) start: Start,
}

impl Weights {
    pub(super) fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, start: Start) -> Self {
        Weights { name: name.into(), shape: shape.into(), start }
    }

    /// How many parameters it has.
    pub(super) fn len(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, &side| product.saturating_mul(side as u64))
    }
}

/// What a layer computes.
pub(super) trait Operation: Send + Sync {
    /// What comes out for the `pieces` of one batch, `[examples, ..shape of one example]` each, under `parameters`, the tensors of
    /// the layer in their order.
    fn apply(&self, parameters: &[Tensor], pieces: Vec<Tensor>) -> Result<Vec<Tensor>>;
}

/// One that computes for each example by itself.
struct Each<F>(F);

impl<F: Fn(&[Tensor], &Tensor) -> Result<Tensor> + Send + Sync> Operation for Each<F> {
    fn apply(&self, parameters: &[Tensor], pieces: Vec<Tensor>) -> Result<Vec<Tensor>> {
        pieces.iter().map(|piece| self.0(parameters, piece)).collect()
    }
}

/// The `operation` for each example by itself.
pub(super) fn each(
    operation: impl Fn(&[Tensor], &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Box<dyn Operation> {
    Box::new(Each(operation))
}

/// A layer, for what comes in.
pub(super) struct Fitted {
    /// What comes out.
    pub(super) output: Shape,
    /// Its parameters.
    pub(super) weights: Vec<Weights>,
    /// Multiply-adds for one example, as far as they are products of matrices: what else there is takes little time.
    pub(super) multiply_adds: u64,
    /// Values of one example that are kept for the way back.
    pub(super) kept: u64,
    /// What it computes.
    pub(super) operation: Box<dyn Operation>,
}

impl Fitted {
    /// A layer that computes `operation` for each example by itself.
    pub(super) fn new(
        output: Shape,
        operation: impl Fn(&[Tensor], &Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Self {
        Fitted::of_batch(output, Each(operation))
    }

    /// A layer that computes `operation` for a batch as a whole.
    pub(super) fn of_batch(output: Shape, operation: impl Operation + 'static) -> Self {
        let operation = Box::new(operation);
        Fitted { output, weights: Vec::new(), multiply_adds: 0, kept: output.len(), operation }
    }

    /// The same with these parameters.
    pub(super) fn with_weights(self, weights: Vec<Weights>) -> Self {
        Fitted { weights, ..self }
    }

    /// The same with so many multiply-adds for each value of what comes out.
    pub(super) fn with_multiply_adds(self, each: u64) -> Self {
        Fitted { multiply_adds: self.output.len().saturating_mul(each), ..self }
    }
}

/// Why a layer does not fit what comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The layer among those of the innermost residual layer, of the one around that, and so on: number and kind.
    pub(super) place: Vec<(usize, &'static str)>,
    /// What is wrong, and what to do.
    pub(super) message: String,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Fault { place: Vec::new(), message }
    }
}

/// That `holds`, or else what is wrong.
pub(super) fn require(holds: bool, message: impl FnOnce() -> String) -> std::result::Result<(), Fault> {
    if holds { Ok(()) } else { Err(message().into()) }
}
