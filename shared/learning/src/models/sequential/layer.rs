//! The kinds of layers, by their names.

use input::toml_file::plain;
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use toml::{Table, Value};

use super::fitted::{Fault, Fitted};
use super::shape::Shape;
use super::{
    AvgPool, BatchNorm, Conv1d, Conv2d, Dense, Flatten, Gelu, GroupNorm, Gru, MaxPool, Relu, Residual, Tanh,
};

macro_rules! kinds {
    ($($kind:ident, $name:literal;)+) => {
        /// A layer, by its `kind` and with its settings.
        #[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
        #[serde(tag = "kind")]
        #[expect(missing_docs, reason = "each is what the documentation of its settings says")]
        pub enum Layer {
            $(
                #[serde(rename = $name)]
                $kind($kind),
            )+
        }

        impl Layer {
            /// The names of all kinds.
            pub const KINDS: &[&str] = &[$($name),+];

            /// The name of its kind.
            pub fn kind(&self) -> &'static str {
                match self { $(Layer::$kind(_) => $name,)+ }
            }

            fn read(kind: &str, settings: Table) -> Result<Self, String> {
                match kind {
                    $($name => settings_in(settings).map(Layer::$kind),)+
                    _ => Err(format!("no kind of layer; known are {}", Layer::known())),
                }
            }
        }
    };
}

kinds! {
    Dense, "dense";
    Conv2d, "conv2d";
    Conv1d, "conv1d";
    MaxPool, "max-pool";
    AvgPool, "avg-pool";
    Relu, "relu";
    Tanh, "tanh";
    Gelu, "gelu";
    BatchNorm, "batch-norm";
    GroupNorm, "group-norm";
    Residual, "residual";
    Flatten, "flatten";
    Gru, "gru";
}

impl Layer {
    /// What comes of it where `input` comes in; `depth` is how many residual layers it lies in.
    pub(super) fn fit(&self, input: Shape, depth: usize) -> Result<Fitted, Fault> {
        match self {
            Layer::Dense(layer) => layer.fit(input),
            Layer::Conv2d(layer) => layer.fit(input),
            Layer::Conv1d(layer) => layer.fit(input),
            Layer::MaxPool(layer) => layer.fit(input),
            Layer::AvgPool(layer) => layer.fit(input),
            Layer::Relu(Relu {}) => Ok(Relu::fitted(input)),
            Layer::Tanh(Tanh {}) => Ok(Tanh::fitted(input)),
            Layer::Gelu(Gelu {}) => Ok(Gelu::fitted(input)),
            Layer::BatchNorm(_) => Ok(BatchNorm::fitted(input)),
            Layer::GroupNorm(layer) => layer.fit(input),
            Layer::Residual(layer) => layer.fit(input, depth),
            Layer::Flatten(Flatten {}) => Ok(Flatten::fitted(input)),
            Layer::Gru(layer) => layer.fit(input),
        }
    }

    /// What its tensors are called, if the scenario says it, and what they are called by their place otherwise.
    pub(super) fn name(&self) -> Option<(Option<&String>, &'static str)> {
        match self {
            Layer::Dense(layer) => Some((layer.name.as_ref(), "fc")),
            Layer::Conv2d(layer) => Some((layer.name.as_ref(), "conv")),
            Layer::Conv1d(layer) => Some((layer.name.as_ref(), "conv")),
            Layer::BatchNorm(layer) => Some((layer.name.as_ref(), "bn")),
            Layer::GroupNorm(layer) => Some((layer.name.as_ref(), "gn")),
            Layer::Residual(layer) => Some((layer.name.as_ref(), "residual")),
            Layer::Gru(layer) => Some((layer.name.as_ref(), "gru")),
            Layer::MaxPool(_)
            | Layer::AvgPool(_)
            | Layer::Relu(_)
            | Layer::Tanh(_)
            | Layer::Gelu(_)
            | Layer::Flatten(_) => None,
        }
    }

    fn known() -> String {
        Layer::KINDS.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ")
    }
}

fn settings_in<S: DeserializeOwned>(settings: Table) -> Result<S, String> {
    settings.try_into().map_err(|error: toml::de::Error| plain(error.message()))
}

/// A list of layers. An error names the layer by its number, from 0, and its kind.
pub(super) fn layers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Layer>, D::Error> {
    let read = |(number, value): (usize, Value)| {
        let Value::Table(mut settings) = value else {
            return Err(format!("layers.{number}: expected a table with a `kind`, as {{ kind = \"relu\" }}"));
        };
        let Some(Value::String(kind)) = settings.remove("kind") else {
            let known = Layer::known();
            return Err(format!("layers.{number}: has no `kind` in quotes; known are {known}"));
        };
        Layer::read(&kind, settings).map_err(|message| format!("layers.{number} ({kind}): {message}"))
    };
    let values = Vec::<Value>::deserialize(deserializer)?;
    values.into_iter().enumerate().map(read).collect::<Result<_, _>>().map_err(D::Error::custom)
}
