//! The trainable models, behind one trait.
//!
//! # Layout
//! - This file: the [`Model`] trait, and the registry: [`ModelName`] and [`build`].
//! - `classifier`: a network on candle as a [`Model`]: checks the batch, differentiates, flattens.
//! - `convolution`, `linear`, `normalisation`, `rectifier`, `reversal`: what networks are made of, as operations of
//!   our own on candle tensors, with the gradients that candle asks for; each is checked against finite differences.
//!   Images lie in memory as `[batch, height, width, channels]`.
//! - `gemm`, `operands`: what those are made of.
//! - `layers`: what networks share besides: loss, initial weights, evaluation in pieces.
//! - `dnn`, `resnet20`: the networks, one file each.
//! - `logistic_regression`: without candle, for a simulation of many devices trains it all the time.
//! - `input`: the check of parameters and batch that all of them make.
//!
//! A new model is one file, and its variant and its line in [`ModelName`]. An implementation that does not
//! differentiate with candle implements [`Model`] directly.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::Batch;
use crate::parameters::{Layout, Parameters, ParametersError};
use crate::random::Stream;

mod classifier;
mod convolution;
mod dnn;
mod gemm;
#[cfg(test)]
mod gradient_check;
mod input;
mod layers;
mod linear;
mod logistic_regression;
mod normalisation;
mod operands;
mod rectifier;
mod resnet20;
mod reversal;

/// The largest example: 512 x 512 pixels. Together with [`MAX_CLASSES`] it keeps the size of every model
/// countable in 32 bits, on the boards and on the wire.
const MAX_FEATURES: usize = 1 << 18;
const MAX_CLASSES: usize = 1 << 10;

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
}

/// Which model a run trains; spelled as in the scenario file.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// `logistic-regression`: multi-class logistic regression (softmax regression), for any input shape.
    LogisticRegression,
    /// `dnn`: the convolutional network of the paper's Table 7a for images of shape `[height, width]`, and
    /// its fully connected part alone for table rows of shape `[features]`.
    Dnn,
    /// `resnet20`: the residual network with 20 layers of He et al. for images of shape `[height, width]`.
    #[serde(rename = "resnet20")]
    ResNet20,
}

type Build = fn(shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError>;

impl ModelName {
    /// Every model there is.
    pub const ALL: [ModelName; 3] = [ModelName::LogisticRegression, ModelName::Dnn, ModelName::ResNet20];

    fn registration(self) -> (&'static str, Build) {
        match self {
            ModelName::LogisticRegression => ("logistic-regression", logistic_regression::build),
            ModelName::Dnn => ("dnn", dnn::build),
            ModelName::ResNet20 => ("resnet20", resnet20::build),
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.registration().0)
    }
}

/// A text that names no model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a model; expected one of {all}", all = ModelName::ALL.map(|name| name.to_string()).join(", "))]
pub struct UnknownModel(String);

impl FromStr for ModelName {
    type Err = UnknownModel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = ModelName::ALL.into_iter().find(|name| name.registration().0 == text);
        found.ok_or_else(|| UnknownModel(text.to_owned()))
    }
}

/// The model `name` for examples of `shape` (`[28, 28]`, `[30]`) in `classes` classes.
///
/// # Errors
/// [`ModelError::UnsupportedShape`] or [`ModelError::UnsupportedClasses`] if there is no such model.
pub fn build(name: ModelName, shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError> {
    let features = shape.iter().try_fold(1, |product: usize, &length| product.checked_mul(length));
    if !features.is_some_and(|features| (1..=MAX_FEATURES).contains(&features)) {
        return Err(ModelError::UnsupportedShape {
            model: name,
            shape: shape.to_vec(),
            supported: "1 to 262144 features in all",
        });
    }
    if !(2..=MAX_CLASSES).contains(&classes) {
        return Err(ModelError::UnsupportedClasses { classes });
    }
    let (_, build) = name.registration();
    build(shape, classes)
}

/// Why a model could not be built or evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The model does not take examples of this shape.
    #[error("model `{model}` does not take examples of shape {shape:?}; it takes {supported}")]
    UnsupportedShape {
        /// The model.
        model: ModelName,
        /// The shape it was asked for.
        shape: Vec<usize>,
        /// What it takes.
        supported: &'static str,
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
mod tests {
    use super::*;

    #[test]
    fn every_name_is_spelled_alike_everywhere() {
        for name in ModelName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
            let serde_spelling = toml::Value::try_from(name).unwrap();
            assert_eq!(serde_spelling.as_str(), Some(name.to_string().as_str()));
        }
        let error = "svm".parse::<ModelName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`svm` is not a model; expected one of logistic-regression, dnn, resnet20"
        );
    }

    #[test]
    fn shapes_and_classes_no_model_can_have_are_refused() {
        for name in ModelName::ALL {
            for shape in [&[0][..], &[28, 0], &[usize::MAX, 2], &[1 << 19]] {
                let refused = build(name, shape, 10).err();
                assert!(matches!(refused, Some(ModelError::UnsupportedShape { .. })), "{name} {shape:?}");
            }
            for classes in [0, 1, usize::MAX] {
                let refused = build(name, &[30, 30], classes).err();
                assert!(matches!(refused, Some(ModelError::UnsupportedClasses { .. })), "{name} {classes}");
            }
        }
    }

    #[test]
    fn the_largest_model_is_countable_in_32_bits() {
        for name in ModelName::ALL {
            for shape in [&[MAX_FEATURES][..], &[512, 512], &[10, MAX_FEATURES / 10]] {
                // Some take images only.
                let Ok(model) = build(name, shape, MAX_CLASSES) else { continue };
                let dimension = model.layout().dimension();
                assert!(u32::try_from(4 * dimension as u64).is_ok(), "{name} {shape:?}: {dimension}");
            }
        }
    }
}
