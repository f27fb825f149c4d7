//! The fully connected layer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::linear::linear;
use super::fitted::{Fault, Fitted, Start, Weights, require};
use super::shape::Shape;

/// A fully connected layer. Its weight is `[units, values that come in]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Dense {
    /// Values that it makes.
    pub units: u32,
    /// What its tensors are called; by default `fc1`, `fc2` and so on, by its place among the fully connected layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Dense {
    pub(super) fn new(units: u32) -> Self {
        Dense { units, name: None }
    }

    pub(super) fn fit(&self, input: Shape) -> Result<Fitted, Fault> {
        let inputs = input.values()?;
        require(self.units >= 1, || "has units = 0; it must make at least one value".to_owned())?;
        Ok(fitted(inputs, self.units as usize, Start::He))
    }
}

/// One from so many values to so many.
pub(super) fn fitted(inputs: usize, outputs: usize, start: Start) -> Fitted {
    let weights =
        vec![Weights::new("weight", [outputs, inputs], start), Weights::new("bias", [outputs], Start::Zeros)];
    let fitted = Fitted::new(Shape::Values(outputs), |parameters, piece| {
        linear(piece, &parameters[0], &parameters[1])
    });
    fitted.with_weights(weights).with_multiply_adds(inputs as u64)
}
