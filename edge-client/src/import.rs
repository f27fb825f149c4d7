//! `edge-client import`: a shard of this device's own data.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use formats::Reading;
use learning::data::Imported;
use scenario::table_of;
use toml::Value;

/// Make a shard of this device's own data, for scenarios whose data set is of kind "devices"
///
///   edge-client import readings.csv --label state --out /opt/outpost/shard
///   edge-client import readings.csv --set label=-1 --set delimiter=";" --set decimal="," --out shard
///
/// The data stay on this device: of the shard, which holds them as they are, only a digest and the number of examples are ever
/// sent. Names of classes and columns are kept with them, and held against the scenario when the client joins a run; so the
/// same shard serves any scenario that has these classes. docs/your-data.md has the forms of files and all that --set takes.
#[derive(Clone, Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ImportArgs {
    /// The file
    pub file: PathBuf,
    /// The column of the labels, or the array of them; the same as --set label=NAME
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Say how the file is read, as in --set missing=drop; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// The shard, which is replaced if it is there
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A setting that there is not.
    #[error("{0}")]
    Usage(String),
    /// The file makes no shard, or the shard cannot be written.
    #[error("{}", link::advised(.0.as_ref()))]
    File(anyhow::Error),
}

impl ImportArgs {
    /// Makes the shard, and says what is in it.
    ///
    /// # Errors
    /// A setting that there is not; what is wrong with the file, and where; and if the shard cannot be written.
    pub fn run(self) -> Result<String, ImportError> {
        let mut settings =
            table_of(&self.settings).map_err(|error| ImportError::Usage(format!("--set {error}")))?;
        settings.extend(self.label.map(|label| ("label".to_owned(), Value::String(label))));
        let reading = Reading::of(settings).map_err(|error| ImportError::Usage(format!("--set: {error}")))?;
        let imported =
            Imported::read(&self.file, &reading).map_err(|error| ImportError::File(error.into()))?;
        let out = self.out.display();
        input::files::replace(&self.out, 0o600, |file| file.write_all(&imported.to_bytes()))
            .with_context(|| format!("cannot write {out}"))
            .map_err(ImportError::File)?;
        let Imported { examples, classes, dropped, .. } = &imported;
        let left_out = match dropped {
            0 => String::new(),
            dropped => format!("; {dropped} rows are left out, because something is missing in them"),
        };
        let (count, shape) = (examples.len(), examples.shape());
        Ok(format!(
            "{out}: {count} examples of shape {shape:?} in {} classes, {}{left_out}",
            classes.len(),
            classes.join(", ")
        ))
    }
}
