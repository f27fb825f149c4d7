//! Loss and gradient of the networks of m devices at once, each with weights of its own.
//!
//! Tensors of examples have the devices as their first dimension, and the examples of one device as their second; images
//! lie as `[m n, height, width, channels]`.
//!
//! # Layout
//! - This file: [`Network`], the models of `shared::models`.
//! - `plain`: logistic regression and the paper's network; `residual`: `ResNet20`.
//! - `layers`, `windows`, `pooling`: what those are made of.

mod layers;
mod plain;
mod pooling;
mod residual;
mod windows;

use candle_core::{Result, Tensor};
use shared::models::{Model, ModelName};

use layers::cross_entropy;

/// A model as a network of tensors.
#[derive(Clone, Debug)]
pub(super) struct Network {
    name: ModelName,
    /// Shapes of the weights, in the order in which they lie in a model.
    shapes: Vec<Vec<usize>>,
    /// Shape of an example.
    input: Vec<usize>,
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

impl Network {
    /// The network of `model`, for examples of shape `input`.
    pub(super) fn of(name: ModelName, model: &dyn Model, input: &[usize]) -> Self {
        let shapes = model.layout().entries().iter().map(|entry| entry.shape.clone()).collect();
        Network { name, shapes, input: input.to_vec() }
    }

    /// Values of an example.
    pub(super) fn features(&self) -> usize {
        self.input.iter().product()
    }

    /// Values of the examples that are worked on at a time, which bounds the memory of convolutions: those of minibatches
    /// of 32 from MNIST for a hundred devices take 1.5 GB with the paper's network, and a quarter of them 5 GB with
    /// `ResNet20`.
    pub(super) fn values_at_a_time(&self) -> usize {
        let hundred = 100 * 32 * 28 * 28;
        match self.name {
            ModelName::LogisticRegression | ModelName::Dnn => hundred,
            ModelName::ResNet20 => hundred / 4,
        }
    }

    /// The mean loss of each device, `[m]`, and its gradient, `[m, d]`, under `parameters`, `[m, d]`, for `examples`,
    /// `[m, n, features]`, with ones at their classes in `right`, `[m, n, classes]`.
    pub(super) fn loss_and_gradient(
        &self,
        parameters: &Tensor,
        examples: &Tensor,
        right: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let weights = self.weights(parameters)?;
        let (loss, learnt) = match self.name {
            ModelName::LogisticRegression | ModelName::Dnn => {
                let mut tape = Tape(Some(Vec::new()));
                let logits = plain::forward(&weights, &self.images(examples)?, &mut tape)?;
                let (loss, gradient) = cross_entropy(&logits, right)?;
                (loss, plain::back(&weights, tape, gradient)?)
            }
            ModelName::ResNet20 => {
                let mut tape = Tape(Some(Vec::new()));
                let logits = residual::forward(&weights, &self.images(examples)?, &mut tape)?;
                let (loss, gradient) = cross_entropy(&logits, right)?;
                (loss, residual::back(&weights, tape, &gradient)?)
            }
        };
        let learnt = learnt.iter().map(|gradient| gradient.flatten_from(1)).collect::<Result<Vec<_>>>()?;
        Ok((loss, Tensor::cat(&learnt, 1)?))
    }

    /// The logits of each device, `[m, n, classes]`, under `parameters`, `[m, d]`, for `examples`, `[m, n, features]`.
    pub(super) fn logits(&self, parameters: &Tensor, examples: &Tensor) -> Result<Tensor> {
        let (weights, images) = (self.weights(parameters)?, self.images(examples)?);
        match self.name {
            ModelName::LogisticRegression | ModelName::Dnn => {
                plain::forward(&weights, &images, &mut Tape(None))
            }
            ModelName::ResNet20 => residual::forward(&weights, &images, &mut Tape(None)),
        }
    }

    /// Examples in their shape, `[m, n, ...]`.
    fn images(&self, examples: &Tensor) -> Result<Tensor> {
        let (devices, count, _) = examples.dims3()?;
        examples.reshape([&[devices, count], self.input.as_slice()].concat())
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
        self.shapes.iter().map(&mut take).collect()
    }
}
