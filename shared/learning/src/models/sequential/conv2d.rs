//! The convolution of pictures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::convolution::Convolution;
use super::fitted::{Fault, Fitted, Start, Weights, require};
use super::shape::Shape;
use super::{as_picture, one, side_after, yes};

/// A convolution of pictures, with square kernels. Its weight is `[channels, channels that come in, kernel, kernel]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Conv2d {
    /// Channels that it makes.
    pub channels: u32,
    /// Rows and columns of a kernel.
    #[serde(default = "three")]
    pub kernel: u32,
    /// Pixels from one window to the next.
    #[serde(default = "one")]
    pub stride: u32,
    /// Rows and columns of zeros around the picture, fewer than the kernel has.
    #[serde(default)]
    pub padding: u32,
    /// Whether each channel has a bias; before a normalisation it changes nothing.
    #[serde(default = "yes")]
    pub bias: bool,
    /// What its tensors are called; by default `conv1`, `conv2` and so on, by its place among the convolutions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

pub(super) fn three() -> u32 {
    3
}

impl Conv2d {
    pub(super) fn new(channels: u32, kernel: u32, padding: u32) -> Self {
        Conv2d { channels, kernel, stride: 1, padding, bias: true, name: None }
    }

    pub(super) fn convolution(&self) -> Convolution {
        Convolution { stride: self.stride as usize, padding: self.padding as usize }
    }

    pub(super) fn fit(&self, input: Shape) -> Result<Fitted, Fault> {
        let [height, width, inputs] = input.picture()?;
        let &Conv2d { channels, kernel, stride, padding, bias, .. } = self;
        require(channels >= 1, || "has channels = 0; it must make at least one".to_owned())?;
        let [height, width] = [
            side_after(height, kernel, stride, padding, "rows")?,
            side_after(width, kernel, stride, padding, "columns")?,
        ];
        let (channels, kernel) = (channels as usize, kernel as usize);
        let mut weights = vec![Weights::new("weight", [channels, inputs, kernel, kernel], Start::He)];
        if bias {
            weights.push(Weights::new("bias", [channels], Start::Zeros));
        }
        let convolution = self.convolution();
        let fitted = Fitted::new(Shape::Picture { height, width, channels }, move |parameters, piece| {
            let convolved = convolution.apply(&as_picture(piece)?, &parameters[0])?;
            match parameters.get(1) {
                Some(bias) => convolved.broadcast_add(bias),
                None => Ok(convolved),
            }
        });
        let each = (inputs as u64).saturating_mul(kernel as u64).saturating_mul(kernel as u64);
        Ok(fitted.with_weights(weights).with_multiply_adds(each))
    }
}
