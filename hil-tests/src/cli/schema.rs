//! `hil schema`.

use clap::{Args, ValueEnum};
use scenario::catalogue::Catalogue;
use schemars::schema_for;

use super::common::Ending;
use crate::experiments::matrix;
use crate::experiments::sweep::Grid;
use crate::fleet::inventory::Inventory;

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
    /// The inventory of a fleet
    Inventory,
    /// A grid of scenarios, for `hil sweep`
    Grid,
    /// Attacks by defenses, for `hil matrix`
    Matrix,
}

impl SchemaArgs {
    /// Prints the schema.
    ///
    /// # Errors
    /// If it cannot be printed.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let schema = match self.file {
            File::Scenario => catalogue.schema(),
            File::Inventory => schema_for!(Inventory),
            File::Grid => schema_for!(Grid),
            File::Matrix => matrix::schema(catalogue),
        };
        link::print(serde_json::to_string_pretty(&schema)?)?;
        Ok(Ending::Finished)
    }
}
