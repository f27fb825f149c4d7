//! `[data]`: how much of the data set is used.

use serde::{Deserialize, Serialize};

use super::validation::require;
use crate::data::DatasetName;

/// `[data]`: how much of the data set is used. The test set is always used whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Data {
    /// Training examples, drawn from those of the data set by the seed; all of them by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_examples: Option<u32>,
}

impl Data {
    /// Checks that there are as many of `dataset`, and one for each of `devices`.
    pub(super) fn check(&self, dataset: DatasetName, devices: u32) -> Result<(), (&'static str, String)> {
        let Some(examples) = self.train_examples else { return Ok(()) };
        let available = dataset.spec().max_examples;
        require(examples as usize <= available, "data.train-examples", || {
            format!("{examples} is more than the {available} that {dataset} has at most")
        })?;
        require(examples >= devices, "data.train-examples", || {
            format!("{examples} must be at least fleet.devices = {devices}, so that each device has one")
        })
    }
}
