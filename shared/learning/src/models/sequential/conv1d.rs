//! The convolution of series.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::linear::linear;
use super::conv2d::three;
use super::fitted::{Fault, Fitted, Start, Weights, require};
use super::shape::Shape;
use super::unfolding::Unfolding;
use super::{one, side_after};

/// A convolution of series over time. Its weight is `[channels, features that come in, kernel]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Conv1d {
    /// Features of each step that it makes.
    pub channels: u32,
    /// Steps under a kernel.
    #[serde(default = "three")]
    pub kernel: u32,
    /// Steps from one window to the next.
    #[serde(default = "one")]
    pub stride: u32,
    /// Steps of zeros at either end, fewer than the kernel has.
    #[serde(default)]
    pub padding: u32,
    /// What its tensors are called; by default `conv1`, `conv2` and so on, by its place among the convolutions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Conv1d {
    pub(super) fn new(channels: u32, kernel: u32, padding: u32) -> Self {
        Conv1d { channels, kernel, stride: 1, padding, name: None }
    }

    pub(super) fn fit(&self, input: Shape) -> Result<Fitted, Fault> {
        let [steps, inputs] = input.series()?;
        let &Conv1d { channels, kernel, stride, padding, .. } = self;
        require(channels >= 1, || "has channels = 0; it must make at least one".to_owned())?;
        let steps = side_after(steps, kernel, stride, padding, "steps")?;
        let (features, kernel) = (channels as usize, kernel as usize);
        let weights = vec![
            Weights::new("weight", [features, inputs, kernel], Start::He),
            Weights::new("bias", [features], Start::Zeros),
        ];
        let unfolding = Unfolding { kernel, stride: stride as usize, padding: padding as usize };
        let fitted = Fitted::new(Shape::Series { steps, features }, move |parameters, piece| {
            let examples = piece.dim(0)?;
            let windows = unfolding.apply(piece)?.reshape((examples * steps, kernel * inputs))?;
            // In a window lies one step after the other, in a kernel one feature after the other.
            let weight = parameters[0].transpose(1, 2)?.contiguous()?.reshape((features, kernel * inputs))?;
            linear(&windows, &weight, &parameters[1])?.reshape((examples, steps, features))
        });
        let each = (inputs as u64).saturating_mul(kernel as u64);
        Ok(fitted.with_weights(weights).with_multiply_adds(each))
    }
}
