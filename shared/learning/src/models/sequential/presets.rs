//! Lists of layers with names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AvgPool, Conv1d, Conv2d, Dense, Flatten, Gru, Layer, MaxPool, Relu, Tanh, network};
use crate::models::{Architecture, LayerSummary, Model, ModelError};

/// Fully connected layers, each with a rectifier, for examples of any shape.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Mlp {
    /// The values that each hidden layer makes.
    pub hidden: Vec<u32>,
}

impl Default for Mlp {
    fn default() -> Self {
        Mlp { hidden: vec![128, 64] }
    }
}

/// `LeNet-5` (`LeCun` et al. 1998), with means in place of its trained subsampling, for pictures of at least 12 x 12.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LeNet5 {}

/// Convolutions over time, each with a rectifier and a max-pooling, the last over all that is left, for series.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cnn1d {
    /// The channels of each convolution.
    pub channels: Vec<u32>,
    /// The steps under a kernel, an odd number.
    pub kernel: u32,
}

impl Default for Cnn1d {
    fn default() -> Self {
        Cnn1d { channels: vec![32, 64], kernel: 5 }
    }
}

/// A gated recurrent unit whose last state tells the classes apart, for series.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GruClassifier {
    /// The values of its state.
    pub units: u32,
}

impl Default for GruClassifier {
    fn default() -> Self {
        GruClassifier { units: 64 }
    }
}

/// A list of layers that has a name.
trait Preset {
    const NAME: &'static str;

    fn layers(&self) -> Vec<Layer>;
}

impl Preset for Mlp {
    const NAME: &'static str = "mlp";

    fn layers(&self) -> Vec<Layer> {
        let hidden = self.hidden.iter();
        let hidden = hidden.flat_map(|&units| [Layer::Dense(Dense::new(units)), Layer::Relu(Relu {})]);
        [Layer::Flatten(Flatten {})].into_iter().chain(hidden).collect()
    }
}

impl Preset for LeNet5 {
    const NAME: &'static str = "lenet5";

    fn layers(&self) -> Vec<Layer> {
        vec![
            Layer::Conv2d(Conv2d::new(6, 5, 2)),
            Layer::Tanh(Tanh {}),
            Layer::AvgPool(AvgPool::new(2)),
            Layer::Conv2d(Conv2d::new(16, 5, 0)),
            Layer::Tanh(Tanh {}),
            Layer::AvgPool(AvgPool::new(2)),
            Layer::Flatten(Flatten {}),
            Layer::Dense(Dense::new(120)),
            Layer::Tanh(Tanh {}),
            Layer::Dense(Dense::new(84)),
            Layer::Tanh(Tanh {}),
        ]
    }
}

impl Preset for Cnn1d {
    const NAME: &'static str = "cnn1d";

    fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (place, &channels) in self.channels.iter().enumerate() {
            layers.push(Layer::Conv1d(Conv1d::new(channels, self.kernel, self.kernel / 2)));
            layers.push(Layer::Relu(Relu {}));
            let is_last = place + 1 == self.channels.len();
            layers.push(Layer::MaxPool(if is_last { MaxPool::default() } else { MaxPool::new(2) }));
        }
        layers
    }
}

impl Preset for GruClassifier {
    const NAME: &'static str = "gru";

    fn layers(&self) -> Vec<Layer> {
        vec![Layer::Gru(Gru::new(self.units))]
    }
}

macro_rules! architectures {
    ($($preset:ident),+) => {
        $(impl Architecture for $preset {
            fn build(&self, shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError> {
                Ok(Box::new(network::classifier(Self::NAME, &self.layers(), shape, classes)?))
            }

            fn summary(&self, shape: &[usize], classes: usize) -> Result<Vec<LayerSummary>, ModelError> {
                network::summary(Self::NAME, &self.layers(), shape, classes)
            }
        })+
    };
}

architectures!(Mlp, LeNet5, Cnn1d, GruClassifier);
