//! `hil schema`.

use clap::{Args, ValueEnum};
use shared::catalogue::Catalogue;

use super::common::Ending;

/// Print the JSON Schema of a file, by which editors complete and check it
///
///   cargo hil schema scenario > scenario.schema.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct SchemaArgs {
    /// Which file
    file: File,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum File {
    /// A scenario
    Scenario,
}

impl SchemaArgs {
    /// Prints the schema.
    ///
    /// # Errors
    /// If it cannot be printed.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let schema = match self.file {
            File::Scenario => catalogue.schema(),
        };
        rim::print(serde_json::to_string_pretty(&schema)?)?;
        Ok(Ending::Finished)
    }
}
