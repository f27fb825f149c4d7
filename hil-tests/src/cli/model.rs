//! `hil model`.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::path::PathBuf;

use clap::{Args, Subcommand};
use scenario::catalogue::Catalogue;
use scenario::{Scenario, ScenarioError};
use toml::Value;

use super::common::{Common, Ending, Format};
use crate::fleet::boards::Board;
use crate::fleet::step::Description;

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    Describe(DescribeArgs),
}

/// Say what a model is made of: shapes layer by layer, parameters, and what a training step takes on each kind of board
///
///   cargo hil model describe hil-tests/scenarios/mnist-trimmed-mean.toml
///   cargo hil model describe --model lenet5 --dataset mnist --board pi-4b
///
/// Memory and time are estimates: see docs/scenario.md, "Models as lists of layers".
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct DescribeArgs {
    /// The scenario file
    #[arg(required_unless_present = "model", conflicts_with_all = ["model", "dataset"])]
    scenario: Option<PathBuf>,
    /// A model in place of a scenario's: a name, or a table as in a scenario
    #[arg(long, value_name = "MODEL", requires = "dataset")]
    model: Option<String>,
    /// The data set whose examples it takes: a name, or a table as in a scenario
    #[arg(long, value_name = "DATASET", requires = "model")]
    dataset: Option<String>,
    #[command(flatten)]
    common: Common,
    /// Only this board, or that of a profile of your own, NAME.toml; may be repeated [default: all that are known]
    #[arg(long = "board", value_name = "BOARD")]
    boards: Vec<String>,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

impl ModelCommand {
    /// Does what it says.
    ///
    /// # Errors
    /// A scenario, model or board that is unusable.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let ModelCommand::Describe(args) = self;
        args.run(catalogue)
    }
}

impl DescribeArgs {
    fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let scenario = self.scenario(catalogue)?;
        let all = || Board::names().map(ToOwned::to_owned).to_vec();
        let names = if self.boards.is_empty() { all() } else { self.boards };
        let boards = names.iter().map(|name| Board::find(name)).collect::<Result<Vec<_>, _>>()?;
        let description = Description::of(&scenario, &boards)?;
        match self.format {
            Format::Json => link::print(serde_json::to_string_pretty(&description)?)?,
            Format::Table => link::print(description.to_string().trim_end())?,
        };
        Ok(Ending::Finished)
    }

    fn scenario(&self, catalogue: &Catalogue) -> Result<Scenario, ScenarioError> {
        if let Some(path) = &self.scenario {
            return self.common.load(catalogue, path);
        }
        // A table as it is, a name in quotes.
        let value = |given: &Option<String>| match given.as_deref().unwrap_or_default().trim() {
            table if table.starts_with('{') => table.to_owned(),
            name => Value::String(name.trim_matches(['"', '\'']).to_owned()).to_string(),
        };
        let (model, dataset) = (value(&self.model), value(&self.dataset));
        let text = format!(
            "name = \"described\"\nrounds = 1\ndataset = {dataset}\nmodel = {model}\n[fleet]\ndevices = 1\ncompromised = 0\n"
        );
        let catalogue = self.common.folder.catalogue(catalogue);
        catalogue.parse("--model and --dataset", &text, &self.common.settings)
    }
}
