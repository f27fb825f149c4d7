//! Models as lists of layers that a scenario spells out.
//!
//! # Layout
//! - This file: [`Layers`], the list as a model, and what its layers share.
//! - `shape`: what an example is between two layers; `fitted`: a layer that is fitted to what comes in.
//! - `layer`: the kinds of layers by their names. Each is a file: its settings, which shapes it takes, and what it computes, with
//!   operations of this project's own: `dense`, `conv2d`, `conv1d`, `pool`, `activation`, `batch_norm`, `group_norm`, `residual`,
//!   `flatten`, `gru`.
//! - `unfolding`, `recurrence`: operations that only one of them needs.
//! - `sequence`: layers one after the other, what their tensors are called, and what is computed in one go.
//! - `network`: a sequence with the last layer, which tells the classes apart.
//! - `presets`: lists with names.

mod activation;
mod batch_norm;
mod conv1d;
mod conv2d;
mod dense;
mod fitted;
mod flatten;
mod group_norm;
mod gru;
mod layer;
mod network;
mod pool;
mod presets;
mod recurrence;
mod residual;
mod sequence;
mod shape;
#[cfg(test)]
mod tests;
mod unfolding;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use activation::{Gelu, Relu, Tanh};
pub use batch_norm::BatchNorm;
pub use conv1d::Conv1d;
pub use conv2d::Conv2d;
pub use dense::Dense;
pub use flatten::Flatten;
pub use group_norm::GroupNorm;
pub use gru::Gru;
pub use layer::Layer;
pub use pool::{AvgPool, MaxPool};
pub use presets::{Cnn1d, GruClassifier, LeNet5, Mlp};
pub use residual::Residual;

use self::fitted::Fault;
use self::shape::Shape;
use super::feed_forward::FeedForward;
use super::{Architecture, LayerSummary, Model, ModelError};

/// Layers one after the other, which the scenario lists, for examples of any shape that the first of them takes; what tells the
/// classes apart, a flatten where it is needed and a fully connected layer called `head`, is added at the end.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Layers {
    /// The layers in their order, each a table of its `kind` and its settings.
    #[serde(deserialize_with = "layer::layers")]
    #[schemars(with = "Vec<Layer>")]
    pub layers: Vec<Layer>,
}

impl Architecture for Layers {
    fn build(&self, shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(network::classifier("layers", &self.layers, shape, classes)?))
    }

    fn summary(&self, shape: &[usize], classes: usize) -> Result<Vec<LayerSummary>, ModelError> {
        network::summary("layers", &self.layers, shape, classes)
    }
}

/// The list of layers that a network without lists of its own amounts to.
pub(super) fn of_feed_forward(network: FeedForward) -> Layers {
    let FeedForward { channels, kernel, padding, hidden, .. } = network;
    let convolution = |&channels: &usize| {
        let convolution = Conv2d::new(channels as u32, kernel as u32, padding as u32);
        [Layer::Conv2d(convolution), Layer::Relu(Relu {}), Layer::MaxPool(MaxPool::new(2))]
    };
    let connected = |&units: &usize| [Layer::Dense(Dense::new(units as u32)), Layer::Relu(Relu {})];
    let mut layers: Vec<Layer> = channels.iter().flat_map(convolution).collect();
    layers.push(Layer::Flatten(Flatten {}));
    layers.extend(hidden.iter().flat_map(connected));
    Layers { layers }
}

/// Pictures `[batch, height, width, channels]` of what comes in, which may lack the channels, as those of a data set do.
fn as_picture(piece: &Tensor) -> candle_core::Result<Tensor> {
    if piece.rank() == 3 { piece.unsqueeze(3) } else { Ok(piece.clone()) }
}

/// The dimensions of a batch of so many examples of this shape.
fn sides_of_batch(examples: usize, shape: Shape) -> Vec<usize> {
    [vec![examples], shape.sides()].concat()
}

/// How many windows of `kernel` there are along a `side`, with `padding` at either end, every `stride`.
fn side_after(side: usize, kernel: u32, stride: u32, padding: u32, what: &str) -> Result<usize, Fault> {
    fitted::require(kernel >= 1 && stride >= 1, || {
        "has a kernel, a size or a stride of 0; each must be at least 1".to_owned()
    })?;
    fitted::require(padding < kernel, || {
        format!("has padding = {padding}, which must be less than the kernel, {kernel}")
    })?;
    let (padded, kernel) = (side as u64 + 2 * u64::from(padding), u64::from(kernel));
    let rest = padded.checked_sub(kernel).ok_or_else(|| {
        format!("has windows of {kernel} {what}, but what comes in has only {side}; make them smaller, or leave it out")
    })?;
    Ok((rest / u64::from(stride)) as usize + 1)
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}
