//! Batch normalisation.
//!
//! The statistics are always those of the batch at hand, in training and in evaluation, as those of `resnet20` are: a model is its
//! parameters and nothing else. Running statistics would not be trained, and if they were sent along, a rule would mix them with
//! weights, and an attacker could poison variances to below zero.

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::normalisation::BatchNorm as Normalisation;
use super::fitted::{Fitted, Operation, Start, Weights};
use super::shape::Shape;
use super::sides_of_batch;

/// Each channel gets mean 0 and variance 1 over the batch, whose statistics are those of the batch at hand, also in evaluation;
/// it is then scaled and shifted by the parameters `weight` and `bias`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BatchNorm {
    /// What its tensors are called; by default `bn1`, `bn2` and so on, by its place among the batch normalisations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl BatchNorm {
    pub(super) fn fitted(input: Shape) -> Fitted {
        let output = input.decided();
        let weights = scale_and_shift(output.channels());
        Fitted::of_batch(output, OfBatch { output }).with_weights(weights)
    }
}

/// The parameters of a normalisation.
pub(super) fn scale_and_shift(channels: usize) -> Vec<Weights> {
    vec![Weights::new("weight", [channels], Start::Ones), Weights::new("bias", [channels], Start::Zeros)]
}

struct OfBatch {
    output: Shape,
}

impl Operation for OfBatch {
    fn apply(&self, parameters: &[Tensor], pieces: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let picture = |piece: &Tensor| piece.reshape((piece.dim(0)?, 1, (), self.output.channels()));
        let pictures = pieces.iter().map(picture).collect::<Result<Vec<_>>>()?;
        let norm = Normalisation::of(&pictures)?.without_rectifier();
        let normalise = |picture: &Tensor| {
            let normalised = norm.apply(picture, &parameters[0], &parameters[1], None)?;
            normalised.reshape(sides_of_batch(picture.dim(0)?, self.output))
        };
        pictures.iter().map(normalise).collect()
    }
}
