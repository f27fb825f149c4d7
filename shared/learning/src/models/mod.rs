//! The trainable models, behind one trait.
//!
//! # Layout
//! - This file: the traits [`Architecture`], which a scenario chooses, and [`Model`], which it builds.
//! - `classifier`: a network on candle as a [`Model`]: checks the batch, differentiates, flattens.
//! - `convolution`, `linear`, `normalisation`, `rectifier`, `reversal`: the layers of networks, as operations of our own on
//!   candle tensors, with the gradients that candle asks for; each is checked against finite differences. Images lie in
//!   memory as `[batch, height, width, channels]`.
//! - `gemm`, `operands`: what those operations share.
//! - `layers`: what networks share besides: loss, initial weights, evaluation in pieces.
//! - `dnn`, `cnn_byzfl`, `cnn_mcmahan`, `two_nn`, `resnet20`: the networks, one file each; `feed_forward`: what all but the last
//!   have in common.
//! - `sequential`: networks as lists of layers, which a scenario spells out or names.
//! - `logistic_regression`: without candle, because simulations of many devices train it all the time.
//! - `many`: models of many devices at once.
//! - `fine_tuning`: models that start from the weights of a file, and layers that stay as they are.
//! - `input`: the check of parameters and batch that all of them make.
//!
//! A new model is one file, and one line in the crate `scenario`, in `catalogue.rs`. A model that does not differentiate
//! with candle implements [`Model`] directly.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::data::Batch;
use crate::parameters::{Layout, Parameters, ParametersError};
use crate::random::Stream;

mod classifier;
mod cnn_byzfl;
mod cnn_mcmahan;
mod convolution;
mod dnn;
mod feed_forward;
mod fine_tuning;
mod gemm;
#[cfg(test)]
mod gradient_check;
mod input;
mod layers;
mod linear;
mod logistic_regression;
mod many;
mod normalisation;
mod operands;
mod rectifier;
mod resnet20;
mod reversal;
mod sequential;
mod two_nn;

pub use classifier::{Classifier, Network};
pub use cnn_byzfl::CnnByzfl;
pub use cnn_mcmahan::CnnMcmahan;
pub use dnn::Dnn;
pub(crate) use fine_tuning::clear;
pub use fine_tuning::{Freezing, Pretrained, restore_frozen};
pub use logistic_regression::LogisticRegression;
pub use many::{ManyDevices, many_devices};
pub use resnet20::ResNet20;
pub use sequential::{
    AvgPool, BatchNorm, Cnn1d, Conv1d, Conv2d, Dense, Flatten, Gelu, GroupNorm, Gru, GruClassifier, Layer,
    Layers, LeNet5, MaxPool, Mlp, Relu, Residual, Tanh,
};
pub use two_nn::TwoNn;

/// The largest example: 512 x 512 pixels.
const MAX_FEATURES: usize = 1 << 18;
/// The most classes: labels have 16 bits.
const MAX_CLASSES: usize = 65_535;
/// The most parameters of a model, whose bytes are counted in 32 bits, on the boards and on the wire.
const MAX_PARAMETERS: usize = u32::MAX as usize / 4;

/// A classifier trained by gradient descent on softmax cross-entropy.
///
/// The same arguments give the same bits, whatever the number of threads.
pub trait Model: Send + Sync {
    /// Names and shapes of the parameters.
    fn layout(&self) -> &Arc<Layout>;

    /// The initial global model, drawn from `random`.
    fn initial(&self, random: &mut Stream) -> Parameters;

    /// Mean cross-entropy of `batch` under `parameters` (length d), and its gradient (length d).
    ///
    /// # Errors
    /// If `parameters` are not d values, if the batch is empty, has not the model's input shape or has labels
    /// that the model has no class for, or if candle fails.
    fn loss_and_gradient(&self, parameters: &[f32], batch: &Batch) -> Result<(f32, Vec<f32>), ModelError>;

    /// Logits of `batch` under `parameters`: for each example a row of one value per class, row by row.
    ///
    /// # Errors
    /// As [`Model::loss_and_gradient`].
    fn logits(&self, parameters: &[f32], batch: &Batch) -> Result<Vec<f32>, ModelError>;

    /// What the last layer takes of `batch` under `parameters`: for each example a row of values, row by row. By default the
    /// logits, as of a model that has no other layer.
    ///
    /// # Errors
    /// As [`Model::loss_and_gradient`].
    fn representations(&self, parameters: &[f32], batch: &Batch) -> Result<Vec<f32>, ModelError> {
        self.logits(parameters, batch)
    }

    /// Where the parameters are that stay as they are, in ascending order: their gradient is 0, and no step, decay, momentum or
    /// aggregate moves them. By default none are.
    fn frozen(&self) -> &[Range<usize>] {
        &[]
    }

    /// The form for many devices at once, if it has one of its own; see [`many_devices`]. It computes the gradient of what is
    /// [frozen](Model::frozen) as well.
    fn many_devices(&self) -> Option<Box<dyn ManyDevices>> {
        None
    }
}

/// The settings of a model, from which it is built for the examples of a data set.
pub trait Architecture: fmt::Debug + Send + Sync {
    /// The model for examples of `shape` (`[28, 28]`, `[30]`) in `classes` classes. Both are within the limits that
    /// [`build`] checks.
    ///
    /// # Errors
    /// [`ModelError::UnsupportedShape`] if it does not take such examples.
    fn build(&self, shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError>;

    /// What there is to say of its layers for such examples, in their order; nothing, by default.
    ///
    /// # Errors
    /// As [`Architecture::build`].
    fn summary(&self, _shape: &[usize], _classes: usize) -> Result<Vec<LayerSummary>, ModelError> {
        Ok(Vec::new())
    }
}

/// What there is to say of a layer of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    /// Its kind, as a scenario names it.
    pub kind: &'static str,
    /// What its tensors are called, if it has any.
    pub name: Option<String>,
    /// The shape of what comes out of it for one example.
    pub output: Vec<usize>,
    /// Number of its parameters.
    pub parameters: u64,
    /// Multiply-adds of its matrix products for one example, in the forward pass.
    pub multiply_adds: u64,
    /// Values of one example that are kept for the backward pass.
    pub kept: u64,
}

/// The model of an `architecture` for examples of `shape` in `classes` classes.
///
/// # Errors
/// [`ModelError::UnsupportedFeatures`] or [`ModelError::UnsupportedClasses`] if no model takes as many,
/// [`ModelError::TooLarge`], and as [`Architecture::build`].
pub fn build(
    architecture: &dyn Architecture,
    shape: &[usize],
    classes: usize,
) -> Result<Box<dyn Model>, ModelError> {
    let features = shape.iter().try_fold(1, |product: usize, &length| product.checked_mul(length));
    if !features.is_some_and(|features| (1..=MAX_FEATURES).contains(&features)) {
        return Err(ModelError::UnsupportedFeatures { shape: shape.to_vec() });
    }
    if !(2..=MAX_CLASSES).contains(&classes) {
        return Err(ModelError::UnsupportedClasses { classes });
    }
    let model = architecture.build(shape, classes)?;
    let dimension = model.layout().dimension();
    if dimension > MAX_PARAMETERS {
        return Err(ModelError::TooLarge { dimension, shape: shape.to_vec(), classes });
    }
    Ok(model)
}

/// Why a model could not be built or evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The model does not take examples of this shape.
    #[error("model `{model}` does not take examples of shape {shape:?}; it takes {supported}")]
    UnsupportedShape {
        /// The model.
        model: &'static str,
        /// The shape it was asked for.
        shape: Vec<usize>,
        /// What it takes.
        supported: &'static str,
    },
    /// A layer of a list does not fit what comes in.
    #[error("{place} ({kind}) {message}")]
    Layer {
        /// Where it is: `layers.3`, or `layers.3.layers.0` within another.
        place: String,
        /// Its kind.
        kind: &'static str,
        /// What is wrong, and what to do.
        message: String,
    },
    /// More parameters than can be counted on the wire.
    #[error(
        "the model has {dimension} parameters for examples of shape {shape:?} in {classes} classes, more than the \
         {MAX_PARAMETERS} that can be sent; make it smaller"
    )]
    TooLarge {
        /// Number of its parameters.
        dimension: usize,
        /// The shape asked for.
        shape: Vec<usize>,
        /// The number of classes asked for.
        classes: usize,
    },
    /// A name of nothing.
    #[error("{key}: the model has no layer or tensor `{name}`; it has {known}")]
    NoTensor {
        /// The key that has it.
        key: &'static str,
        /// The name.
        name: String,
        /// The tensors there are.
        known: String,
    },
    /// Every tensor is to stay as it is.
    #[error("frozen: leaves nothing to train; leave a layer out")]
    AllFrozen,
    /// No model takes examples of so many features.
    #[error("no model takes examples of shape {shape:?}; they must have 1 to {MAX_FEATURES} features in all")]
    UnsupportedFeatures {
        /// The shape asked for.
        shape: Vec<usize>,
    },
    /// No model has so many classes.
    #[error("a model cannot tell {classes} classes apart; the data set must have 2 to {MAX_CLASSES}")]
    UnsupportedClasses {
        /// The number asked for.
        classes: usize,
    },
    /// The parameters are those of another model.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// There is nothing to take a mean over.
    #[error("a model cannot be evaluated on no examples; give each batch at least one")]
    Empty,
    /// The batch is of another data set.
    #[error("the batch has examples of shape {actual:?} where the model takes {expected:?}")]
    BatchShape {
        /// Shape that the model takes.
        expected: Vec<usize>,
        /// Shape that the batch has.
        actual: Vec<usize>,
    },
    /// The batch contradicts itself.
    #[error("the batch has {features} features for {labels} labels, but each example has {each} features")]
    BatchLength {
        /// Number of features in the batch.
        features: usize,
        /// Number of labels in the batch.
        labels: usize,
        /// Number of features of one example.
        each: usize,
    },
    /// A label that is no class of the model.
    #[error("example {example} of the batch has label {label}, but the model has classes 0 to {}", classes - 1)]
    Label {
        /// Index of the example in the batch.
        example: usize,
        /// Its label.
        label: u32,
        /// Number of classes of the model.
        classes: usize,
    },
    /// candle failed.
    #[error("tensor computation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) const ALL: [&dyn Architecture; 7] =
        [&LogisticRegression {}, &Dnn {}, &ResNet20 {}, &CnnByzfl {}, &CnnMcmahan {}, &TwoNn {}, &LeNet5 {}];

    #[test]
    fn shapes_and_classes_no_model_can_have_are_refused() {
        for model in ALL {
            for shape in [&[0][..], &[28, 0], &[usize::MAX, 2], &[1 << 19]] {
                let refused = build(model, shape, 10).err();
                assert!(
                    matches!(refused, Some(ModelError::UnsupportedFeatures { .. })),
                    "{model:?} {shape:?}"
                );
            }
            for classes in [0, 1, usize::MAX] {
                let refused = build(model, &[30, 30], classes).err();
                assert!(
                    matches!(refused, Some(ModelError::UnsupportedClasses { .. })),
                    "{model:?} {classes}"
                );
            }
        }
    }

    #[test]
    fn the_largest_model_is_countable_in_32_bits_and_a_larger_one_refused() {
        let mut refused = 0;
        for architecture in ALL {
            for shape in [&[MAX_FEATURES][..], &[512, 512], &[10, MAX_FEATURES / 10]] {
                for classes in [1024, MAX_CLASSES] {
                    match build(architecture, shape, classes) {
                        Ok(model) => {
                            let dimension = model.layout().dimension();
                            let bytes = u32::try_from(4 * dimension as u64);
                            assert!(bytes.is_ok(), "{architecture:?} {shape:?}: {dimension}");
                        }
                        Err(ModelError::TooLarge { .. }) => refused += 1,
                        // Some take images only.
                        Err(other) => {
                            let is_shape = matches!(
                                other,
                                ModelError::UnsupportedShape { .. } | ModelError::Layer { .. }
                            );
                            assert!(is_shape, "{other}");
                        }
                    }
                }
            }
        }
        assert!(refused >= 3, "{refused}");
    }
}
