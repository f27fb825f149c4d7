//! `hil data describe`.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use learning::data::{Description, OwnFile};
use scenario::catalogue::Catalogue;
use scenario::table_of;
use toml::{Table, Value};

use super::common::{Ending, Format, UsageError};

/// The entry of the catalogue for files of one's own.
const KIND: &str = "file";

/// What a file of your own would become: shape, classes with counts, ranges, and what is odd about it
///
///   cargo hil data describe plants.csv --label species
///   cargo hil data describe readings.csv --set label=-1 --set delimiter=";" --set decimal=","
///   cargo hil data describe digits.npz --set features=x_train --label y_train
///   cargo hil data describe flowers/
///
/// Below it are the lines of a scenario that say so; docs/your-data.md tells what else they can say.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct DescribeArgs {
    /// The file, or the folder with a folder of pictures for each class
    file: PathBuf,
    /// The column of the labels, or the array of them; the same as --set label=NAME
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// Set one key of [dataset], as in --set missing=drop; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl DescribeArgs {
    /// Describes it.
    ///
    /// # Errors
    /// A key that there is not, and what is wrong with the file.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy().into_owned();
        let mut settings = table_of(&self.settings).map_err(UsageError)?;
        settings.extend(self.label.map(|label| ("label".to_owned(), Value::String(label))));
        settings.insert("file".to_owned(), Value::String(name));
        let chosen = catalogue.datasets.choose(KIND, settings, &|_| {});
        let chosen = chosen.map_err(|misfit| UsageError(misfit.to_string()))?;
        let file: OwnFile =
            Value::Table(chosen.settings().clone()).try_into().context("settings of a file")?;
        let description = Description::of(&file, &self.file)?;
        let text = match self.format {
            Format::Json => serde_json::to_string(&description)?,
            Format::Table => {
                let said = Table::from_iter([("dataset".to_owned(), Value::try_from(&chosen)?)]);
                let said = toml::to_string(&said)?;
                let place = "in a scenario, with the file in the folder `own` of the data sets";
                format!("{description}\n{place}\n\n{}", said.trim_end())
            }
        };
        link::print(text)?;
        Ok(Ending::Finished)
    }
}
