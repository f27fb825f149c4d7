//! Group normalisation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch_norm::scale_and_shift;
use super::fitted::{Fault, Fitted, require};
use super::shape::Shape;
use super::{one, sides_of_batch};

/// Keeps the deviation of a constant group from being 0.
const EPSILON: f64 = 1e-5;

/// Each group of channels of an example gets mean 0 and variance 1, whatever else is in the batch (Wu & He 2018); each channel is
/// then scaled and shifted by the parameters `weight` and `bias`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GroupNorm {
    /// How many groups, of as many channels each.
    #[serde(default = "one")]
    pub groups: u32,
    /// What its tensors are called; by default `gn1`, `gn2` and so on, by its place among the group normalisations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl GroupNorm {
    pub(super) fn fit(&self, input: Shape) -> Result<Fitted, Fault> {
        let output = input.decided();
        let (channels, groups) = (output.channels(), self.groups as usize);
        require(groups >= 1 && channels.is_multiple_of(groups), || {
            format!(
                "has groups = {groups}, which do not divide the {channels} channels of {output}; choose a divisor of {channels}"
            )
        })?;
        let pixels = (output.len() / channels as u64) as usize;
        let fitted = Fitted::new(output, move |parameters, piece| {
            let examples = piece.dim(0)?;
            let grouped = piece.reshape((examples, pixels, groups, channels / groups))?;
            let centred = grouped.broadcast_sub(&grouped.mean_keepdim((1, 3))?)?;
            let variance = centred.sqr()?.mean_keepdim((1, 3))?;
            let normal = centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?;
            let normal = normal.reshape((examples, pixels, channels))?;
            let scaled = normal.broadcast_mul(&parameters[0])?.broadcast_add(&parameters[1])?;
            scaled.reshape(sides_of_batch(examples, output))
        });
        Ok(fitted.with_weights(scale_and_shift(channels)))
    }
}
