//! The shape of an example between two layers.

use std::fmt;

/// What one example is on its way through the layers. As tensors, each of them has the batch as its first dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Shape {
    /// Two dimensions of the data set: a picture of one channel, or so many steps of so many features. The first layer that
    /// takes either decides.
    Open(usize, usize),
    /// Numbers.
    Values(usize),
    /// Steps in time, of so many features each.
    Series {
        /// How many steps.
        steps: usize,
        /// How many features each has.
        features: usize,
    },
    /// Pixels.
    Picture {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Values of a pixel.
        channels: usize,
    },
}

impl Shape {
    /// That of the examples of a data set; `None` if no layer takes such.
    pub(super) fn of(shape: &[usize]) -> Option<Self> {
        match *shape {
            [values] => Some(Shape::Values(values)),
            [first, second] => Some(Shape::Open(first, second)),
            [height, width, channels] => Some(Shape::Picture { height, width, channels }),
            _ => None,
        }
    }

    /// Its dimensions.
    pub(super) fn sides(self) -> Vec<usize> {
        match self {
            Shape::Open(first, second) => vec![first, second],
            Shape::Values(values) => vec![values],
            Shape::Series { steps, features } => vec![steps, features],
            Shape::Picture { height, width, channels } => vec![height, width, channels],
        }
    }

    /// How many values it has.
    pub(super) fn len(self) -> u64 {
        self.sides().iter().fold(1, |product: u64, &side| product.saturating_mul(side as u64))
    }

    /// Rows, columns and channels, for a layer that takes pictures.
    ///
    /// # Errors
    /// What comes in instead.
    pub(super) fn picture(self) -> Result<[usize; 3], String> {
        match self {
            Shape::Open(height, width) => Ok([height, width, 1]),
            Shape::Picture { height, width, channels } => Ok([height, width, channels]),
            Shape::Values(_) => Err(format!(
                "takes pictures, but what comes in are values, {self}; put it before the layer that makes values of pictures"
            )),
            Shape::Series { .. } => Err(format!(
                "takes pictures, but what comes in is a series, {self}; use the layers of series, as conv1d"
            )),
        }
    }

    /// Steps and features, for a layer that takes series.
    ///
    /// # Errors
    /// What comes in instead.
    pub(super) fn series(self) -> Result<[usize; 2], String> {
        match self {
            Shape::Open(steps, features) | Shape::Series { steps, features } => Ok([steps, features]),
            Shape::Values(_) => Err(format!(
                "takes series of steps with features, but what comes in are values, {self}; put it before the layer that makes \
                 values of a series"
            )),
            Shape::Picture { .. } => Err(format!(
                "takes series of steps with features, but what comes in is a picture, {self}; use the layers of pictures, as \
                 conv2d"
            )),
        }
    }

    /// How many values, for a layer that takes nothing else.
    ///
    /// # Errors
    /// What comes in instead.
    pub(super) fn values(self) -> Result<usize, String> {
        match self {
            Shape::Values(values) => Ok(values),
            _ => Err(format!("takes values, but what comes in has shape {self}; put a flatten before it")),
        }
    }

    /// How many channels a normalisation takes for itself: those of a pixel, of a step, or the values.
    pub(super) fn channels(self) -> usize {
        match self {
            Shape::Open(..) => 1,
            Shape::Values(channels)
            | Shape::Series { features: channels, .. }
            | Shape::Picture { channels, .. } => channels,
        }
    }

    /// The same, where two dimensions are those of a picture.
    pub(super) fn decided(self) -> Self {
        match self {
            Shape::Open(height, width) => Shape::Picture { height, width, channels: 1 },
            other => other,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.sides())
    }
}
