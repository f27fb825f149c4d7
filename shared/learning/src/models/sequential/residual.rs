//! Layers with a shortcut around them.

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Layer;
use super::as_picture;
use super::conv1d::Conv1d;
use super::conv2d::Conv2d;
use super::dense::Dense;
use super::fitted::{Fault, Fitted, Operation, Weights, require};
use super::sequence::Sequence;
use super::shape::Shape;

/// Layers to whose result is added what came in. Where its shape is another, a projection is put in between, called
/// `projection`: a convolution with a kernel of 1 whose stride is found by itself, or a fully connected layer. No rectifier
/// follows by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Residual {
    /// The layers, as those of the model.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    #[serde(deserialize_with = "super::layer::layers")]
    pub layers: Vec<Layer>,
    /// What the names of its tensors begin with; by default `residual1`, `residual2` and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Residual {
    pub(super) fn fit(&self, input: Shape, depth: usize) -> std::result::Result<Fitted, Fault> {
        require(!self.layers.is_empty(), || "has no layers; give it some as layers = [...]".to_owned())?;
        let body = Sequence::fit(&self.layers, input, depth + 1)?;
        let output = body.output;
        // What the layers took two dimensions of the data set for.
        let input = match (input, output) {
            (Shape::Open(steps, features), Shape::Series { .. }) => Shape::Series { steps, features },
            (Shape::Open(..), Shape::Picture { .. }) => input.decided(),
            _ => input,
        };
        let projection = if input == output { None } else { Some(projection(input, output)?) };
        let own = |mut weights: Weights| {
            weights.name = format!("projection.{}", weights.name);
            weights
        };
        let (own, multiply_adds): (Vec<Weights>, u64) = match &projection {
            Some(fitted) => (fitted.weights.iter().cloned().map(own).collect(), fitted.multiply_adds),
            None => (Vec::new(), 0),
        };
        let weights = [body.weights.clone(), own].concat();
        let multiply_adds = body.multiply_adds.saturating_add(multiply_adds);
        let kept = body.kept.saturating_add(output.len());
        let projection = projection.map(|fitted| fitted.operation);
        let is_picture = matches!(output, Shape::Picture { .. });
        let operation = WithShortcut { body, projection, is_picture };
        Ok(Fitted { multiply_adds, kept, ..Fitted::of_batch(output, operation).with_weights(weights) })
    }
}

/// What makes `output` of `input`.
fn projection(input: Shape, output: Shape) -> std::result::Result<Fitted, Fault> {
    let none = || -> Fault {
        format!(
            "makes {output} of {input}, to which it cannot be added, nor does a projection with any stride make the one of the \
             other; change the stride or the padding of its layers"
        )
        .into()
    };
    // A kernel of 1 makes ceil(side / stride) of a side.
    let stride = |from: usize, to: usize| (1..=from).find(|&stride| from.div_ceil(stride) == to);
    let fitted = match (input, output) {
        (Shape::Values(_), Shape::Values(units)) => Dense::new(units as u32).fit(input)?,
        (Shape::Series { steps: from, .. }, Shape::Series { steps: to, features }) => {
            let stride = stride(from, to).ok_or_else(none)? as u32;
            Conv1d { stride, ..Conv1d::new(features as u32, 1, 0) }.fit(input)?
        }
        (Shape::Picture { height: from, .. }, Shape::Picture { height: to, channels, .. }) => {
            // The columns agree, or else the shape that comes out does not.
            let fitting = (1..=from).filter(|&stride| from.div_ceil(stride) == to);
            let fitted = fitting.map(|stride| {
                Conv2d { stride: stride as u32, ..Conv2d::new(channels as u32, 1, 0) }.fit(input)
            });
            fitted.flatten().find(|fitted| fitted.output == output).ok_or_else(none)?
        }
        _ => return Err(none()),
    };
    if fitted.output == output { Ok(fitted) } else { Err(none()) }
}

struct WithShortcut {
    body: Sequence,
    projection: Option<Box<dyn Operation>>,
    is_picture: bool,
}

impl Operation for WithShortcut {
    fn apply(&self, parameters: &[Tensor], pieces: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let (of_body, own) = parameters.split_at(self.body.weights.len());
        let around = match &self.projection {
            Some(projection) => projection.apply(own, pieces.clone())?,
            None if self.is_picture => pieces.iter().map(as_picture).collect::<Result<Vec<_>>>()?,
            None => pieces.clone(),
        };
        let through = self.body.run(of_body, pieces)?;
        through.iter().zip(&around).map(|(through, around)| through + around).collect()
    }
}
