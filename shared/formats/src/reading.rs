//! What a scenario says of how a file is read.

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::columns::{Column, Missing};

/// How a file of one's own is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct Reading {
    /// The column of the labels in a table, by its name or its number from 1, of which -1 is the last; the array of the labels
    /// in .npz and .safetensors (`y` if nobody says it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Column>,
    /// The array of the features in .npz and .safetensors (`x` if nobody says it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
    /// The file of the labels that belongs to an .npy or IDX file, beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// What says which examples belong together, as those of one sensor or person do, for the partition `groups`: the column of a
    /// table, which is no feature then; the array in .npz and .safetensors; the file that belongs to an .npy or IDX file; or
    /// `"folder"`, with which pictures of a class lie in a folder for each group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Column>,
    /// Columns of a table that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<Column>,
    /// What becomes of missing values of a table (nothing, `?`, `-`, NA, NaN, null).
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Missing,
    /// Whether the first line of a text table has the names of the columns; if nobody says it, it has where one of its values
    /// is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// What separates the values of a text table: a comma, or a tab in .tsv, unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// What stands before the fraction of a number in a text table: a point unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// Whether arrays of pictures are [examples, channels, height, width], as in torch.
    #[serde(skip_serializing_if = "is_default")]
    pub channels_first: bool,
    /// The shape of an example: `[height, width]` or `[height, width, 3]` of a picture, `[steps, features]` of a series,
    /// `[features]`; found in the file if nobody says it. Values keep their order; pictures in files are brought to that size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<usize>>,
}

impl Reading {
    /// What is said by `settings` and nothing else.
    ///
    /// # Errors
    /// The setting that there is not, or that is wrong.
    pub fn of(settings: Table) -> Result<Self, String> {
        let schema = schema_for!(Reading);
        let properties = schema.get("properties").and_then(|properties| properties.as_object());
        let known: Vec<&str> =
            properties.into_iter().flat_map(|properties| properties.keys()).map(String::as_str).collect();
        if let Some(unknown) = settings.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!(
                "`{unknown}` says nothing of how a file is read; these do: {}",
                known.join(", ")
            ));
        }
        Value::Table(settings).try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
