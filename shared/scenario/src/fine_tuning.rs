//! The keys of `[model]` that every model has: the weights that it starts from, and the layers that stay as they are.

use std::path::{Component, Path};
use std::sync::Arc;

use input::chosen::Chosen;
use input::toml_file::FileError;
use input::unfit::{Unfit, require};
use learning::models::{Architecture, Freezing, Model, ModelError, Pretrained};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use wire::identity::Digest;

use super::Scenario;

/// The folder of these files, below that of the data sets.
const FOLDER: &str = "models";
/// The most bytes that a file may have: no model has as many.
const MAX_BYTES: u64 = 8 << 30;

/// The keys of `[model]` that every model has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FineTuning {
    /// The weights that the model starts from, in place of those that are drawn: a file of safetensors in the folder `models` of
    /// the data sets. Tensors that it lacks are drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// The names of layers or tensors that are drawn although `weights` has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anew: Vec<String>,
    /// The names of layers or tensors that stay as they are: devices do not train them, and the aggregator does not take them
    /// from updates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
}

impl FineTuning {
    /// `model` with these keys: they are among its settings, and what it builds does not train what is frozen.
    pub(super) fn of(&self, model: Chosen<dyn Architecture>) -> Chosen<dyn Architecture> {
        let Ok(Value::Table(own)) = Value::try_from(self) else { return model };
        let frozen = self.frozen.clone();
        let with_own = |settings: Table| settings.into_iter().chain(own).collect();
        model.map(with_own, |architecture| {
            if frozen.is_empty() { architecture } else { Arc::new(Freezing { architecture, frozen }) }
        })
    }

    pub(super) fn check(&self) -> Result<(), Unfit> {
        let is_name = |file: &String| {
            let mut parts = Path::new(file).components();
            matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none()
        };
        require(self.weights.iter().all(is_name), "model.weights", || {
            let file = self.weights.clone().unwrap_or_default();
            format!("`{file}` must be the name of a file in the folder {FOLDER} of the data sets")
        })?;
        require(self.anew.is_empty() || self.weights.is_some(), "model.anew", || {
            "says what is not taken from a file, where there is none; give model.weights, or leave it out"
                .to_owned()
        })
    }
}

/// A model as a run begins with it.
pub struct StartingModel {
    /// The model, whose initial parameters are those of the file as far as it has them.
    pub model: Arc<dyn Model>,
    /// The digest of that file, if there is one.
    pub weights: Option<Digest>,
    /// What of the file or of the model has no counterpart, for people: one line each.
    pub notes: Vec<String>,
}

impl Scenario {
    /// The model for examples of `shape` in so many classes, starting from the weights of a file below `datasets`, if the
    /// scenario names one.
    ///
    /// # Errors
    /// [`StartError`] if there is no such model, or if the file cannot be read or is one of another model.
    pub fn starting_model(
        &self,
        shape: &[usize],
        classes: usize,
        datasets: &Path,
    ) -> Result<StartingModel, StartError> {
        let model = learning::models::build(&*self.model, shape, classes)?;
        let Some((file, bytes)) = self.weights(datasets)? else {
            return Ok(StartingModel { model: model.into(), weights: None, notes: Vec::new() });
        };
        let weights = Some(Digest::of(&bytes));
        let read = Pretrained::read(model.layout(), &bytes, &self.fine_tuning.anew);
        let read = read.map_err(|cause| StartError::Weights { file: file.clone(), cause })?;
        let lists = [
            ("these tensors of the model are drawn", &read.drawn),
            ("the model has none of these tensors", &read.surplus),
        ];
        let listed = lists.into_iter().filter(|(_, names)| !names.is_empty());
        let notes = listed.map(|(what, names)| format!("{file}: {what}: {}", names.join(", "))).collect();
        Ok(StartingModel { model: read.start(model).into(), weights, notes })
    }

    /// The file of the weights and its bytes.
    fn weights(&self, datasets: &Path) -> Result<Option<(String, Vec<u8>)>, FileError> {
        let Some(name) = &self.fine_tuning.weights else { return Ok(None) };
        let path = datasets.join(FOLDER).join(name);
        let file = path.display().to_string();
        let unreadable = |cause| FileError::Unreadable { file: file.clone(), cause };
        let length = std::fs::metadata(&path).map_err(unreadable)?.len();
        if length > MAX_BYTES {
            let message = format!("{length} bytes are more than any model has");
            return Err(FileError::invalid(&file, "length", message));
        }
        let bytes = std::fs::read(&path).map_err(unreadable)?;
        Ok(Some((file, bytes)))
    }
}

/// Why a run has no model to begin with.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The model cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The file of its weights cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not one of this model's.
    #[error("{file}: {cause}")]
    Weights {
        /// The file.
        file: String,
        /// What is wrong with it.
        cause: ModelError,
    },
}
