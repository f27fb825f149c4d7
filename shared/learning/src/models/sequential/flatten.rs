//! The layer that makes values of pictures and series.

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::reversal::channel_by_channel;
use super::fitted::Fitted;
use super::shape::Shape;

/// The values of a picture channel by channel, each row by row; those of a series step by step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl Flatten {
    pub(super) fn fitted(input: Shape) -> Fitted {
        // What comes in is small enough for that: see `Sequence::fit`.
        Fitted::new(Shape::Values(input.len() as usize), |_, piece| flat(piece))
    }
}

/// `[batch, ..shape of one example]` to `[batch, values]`.
pub(super) fn flat(piece: &Tensor) -> Result<Tensor> {
    if piece.rank() == 4 { channel_by_channel(&piece.contiguous()?) } else { piece.flatten_from(1) }
}
