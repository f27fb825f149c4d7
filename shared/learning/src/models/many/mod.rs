//! Models of m devices at once, each with parameters of its own: what the batched bench trains.
//!
//! Tensors of examples have the devices as their first dimension, and the examples of one device as their second; images
//! lie as `[m n, height, width, channels]`.
//!
//! # Layout
//! - This file: [`ManyDevices`], and networks of layers as such.
//! - `one_by_one`: any model, one device after the other.
//! - `plain`: networks of layers one after the other, logistic regression among them; `residual`: `ResNet20`.
//! - `layers`, `windows`, `pooling`: what those are made of.
//!
//! The networks differentiate by hand: see `docs/performance.md` for what that saves.

mod layers;
mod one_by_one;
mod plain;
mod pooling;
mod residual;
mod windows;

use std::fmt;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use self::layers::cross_entropy;
use self::one_by_one::OneByOne;
pub(super) use self::plain::plain;
pub(super) use self::residual::residual;
use super::{Model, ModelError};
use crate::parameters::Layout;

/// A model of m devices at once. Everything lies where the parameters do: on a GPU, or with the processors.
pub trait ManyDevices: fmt::Debug + Send + Sync {
    /// The mean loss of each device, `[m]`, and its gradient, `[m, d]`, under `parameters`, `[m, d]`, for `examples`,
    /// `[m, n, features]`, with ones at their classes in `right`, `[m, n, classes]`.
    ///
    /// # Errors
    /// If candle or the GPU fails, as with too little memory.
    fn loss_and_gradient(
        &self,
        parameters: &Tensor,
        examples: &Tensor,
        right: &Tensor,
    ) -> std::result::Result<(Tensor, Tensor), ModelError>;

    /// The logits of each device, `[m, n, classes]`, under `parameters`, `[m, d]`, for `examples`, `[m, n, features]`.
    ///
    /// # Errors
    /// As [`ManyDevices::loss_and_gradient`].
    fn logits(&self, parameters: &Tensor, examples: &Tensor) -> std::result::Result<Tensor, ModelError>;

    /// How many values the examples of all devices may have, which bounds the memory that one call takes: by default,
    /// as many as minibatches of 32 from MNIST have for a hundred devices.
    fn values_at_a_time(&self) -> usize {
        HUNDRED_DEVICES
    }
}

/// Values of minibatches of 32 from MNIST for a hundred devices.
const HUNDRED_DEVICES: usize = 100 * 32 * 28 * 28;

/// `model`, which takes examples of `shape`, for many devices: in its own form if it has one, and otherwise one device
/// after the other.
pub fn many_devices(model: &Arc<dyn Model>, shape: &[usize]) -> Arc<dyn ManyDevices> {
    match model.many_devices() {
        Some(many) => many.into(),
        None => Arc::new(OneByOne::new(model.clone(), shape)),
    }
}

/// What tells one network of many devices from another.
trait Layers: Send + Sync {
    /// What a layer remembers for the way back.
    type Layer;

    /// As [`ManyDevices::values_at_a_time`].
    fn values_at_a_time(&self) -> usize;

    /// The logits, `[m, n, classes]`, for `examples`, `[m, n, ..shape of one example]`, under `weights`, the tensors of
    /// the layout in its order, `[m, ...]` each.
    fn forward(&self, weights: &[Tensor], examples: &Tensor, tape: &mut Tape<Self::Layer>) -> Result<Tensor>;

    /// The gradient of each of `weights`, from the `gradient` of the logits.
    fn back(&self, weights: &[Tensor], tape: Tape<Self::Layer>, gradient: Tensor) -> Result<Vec<Tensor>>;
}

/// What layers remember for the way back, if there is one.
struct Tape<T>(Option<Vec<T>>);

impl<T> Tape<T> {
    fn push(&mut self, layer: impl FnOnce() -> T) {
        if let Some(layers) = &mut self.0 {
            layers.push(layer());
        }
    }
}

/// A network of many devices, the shapes of its weights and that of an example.
struct Batched<L> {
    weights: Vec<Vec<usize>>,
    example: Vec<usize>,
    layers: L,
}

impl<L: Layers> Batched<L> {
    /// The network of these `layers` with weights of this `layout`, for examples of `shape`.
    fn new(layers: L, layout: &Layout, shape: &[usize]) -> Self {
        let weights = layout.entries().iter().map(|entry| entry.shape.clone()).collect();
        Batched { weights, example: shape.to_vec(), layers }
    }

    /// Examples in their shape, `[m, n, ...]`.
    fn shaped(&self, examples: &Tensor) -> Result<Tensor> {
        let (devices, count, _) = examples.dims3()?;
        examples.reshape([&[devices, count], self.example.as_slice()].concat())
    }

    /// The weights of all devices, `[m, ...]` each.
    fn weights(&self, parameters: &Tensor) -> Result<Vec<Tensor>> {
        let devices = parameters.dim(0)?;
        let mut start = 0;
        let mut take = |shape: &Vec<usize>| {
            let length = shape.iter().product();
            let values = parameters.narrow(1, start, length)?.contiguous()?;
            start += length;
            values.reshape([&[devices], shape.as_slice()].concat())
        };
        self.weights.iter().map(&mut take).collect()
    }
}

impl<L: Layers> ManyDevices for Batched<L> {
    fn loss_and_gradient(
        &self,
        parameters: &Tensor,
        examples: &Tensor,
        right: &Tensor,
    ) -> std::result::Result<(Tensor, Tensor), ModelError> {
        let weights = self.weights(parameters)?;
        let mut tape = Tape(Some(Vec::new()));
        let logits = self.layers.forward(&weights, &self.shaped(examples)?, &mut tape)?;
        let (loss, gradient) = cross_entropy(&logits, right)?;
        let learnt = self.layers.back(&weights, tape, gradient)?;
        let learnt = learnt.iter().map(|gradient| gradient.flatten_from(1)).collect::<Result<Vec<_>>>()?;
        Ok((loss, Tensor::cat(&learnt, 1)?))
    }

    fn logits(&self, parameters: &Tensor, examples: &Tensor) -> std::result::Result<Tensor, ModelError> {
        Ok(self.layers.forward(&self.weights(parameters)?, &self.shaped(examples)?, &mut Tape(None))?)
    }

    fn values_at_a_time(&self) -> usize {
        self.layers.values_at_a_time()
    }
}

impl<L> fmt::Debug for Batched<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {:?}", self.weights, self.example)
    }
}
