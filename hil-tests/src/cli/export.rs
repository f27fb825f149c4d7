//! `hil export`.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use record::State;
use scenario::catalogue::Catalogue;

use super::common::{Ending, UsageError};
use crate::exports::run::find;
use crate::exports::{FORMATS, Format, export};
use crate::system::stop::Stop;

/// Write runs in the format of another tool: tables, TensorBoard's event files, mlflow's file store
///
///   cargo hil export runs/first --format parquet --out tables
///   cargo hil export runs/first runs/second --format tensorboard --out events
///   cargo hil export runs/sweep-table5 --format mlflow-files --out mlruns
///
/// A folder stands for all runs below it, such as those of a sweep, a matrix or a table of the paper. A run that is in progress
/// or was interrupted is exported up to its last checkpoint. The same command again replaces what it wrote; nothing changes
/// before all is written. docs/metrics.md shows how to read each format.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ExportArgs {
    /// Directories of runs, or folders with runs below them
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// What to write
    #[arg(long, value_name = "FORMAT", value_parser = formats())]
    format: usize,
    /// The folder that it goes into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The formats with what is said about each, by their place in the list.
fn formats() -> impl clap::builder::TypedValueParser<Value = usize> {
    let values = FORMATS.iter().map(|format| PossibleValue::new(format.name).help(format.about));
    let place = |name: String| FORMATS.iter().position(|format| format.name == name);
    PossibleValuesParser::new(values)
        .try_map(move |name| place(name).ok_or_else(|| UsageError("no such format".to_owned())))
}

impl ExportArgs {
    /// Exports.
    ///
    /// # Errors
    /// A run that is none or damaged, or a folder that cannot be written.
    pub(super) fn run(self, catalogue: &Catalogue, stop: &Stop) -> anyhow::Result<Ending> {
        let format: &Format = &FORMATS[self.format];
        let runs = find(&self.runs, catalogue)?;
        let Some(outcomes) = export(&runs, format, &self.out, stop.gently())? else {
            return Ok(Ending::Interrupted);
        };
        for (run, outcome) in runs.iter().zip(&outcomes) {
            if outcome.state != State::Finished {
                let rounds = run.stored.scenario().rounds;
                let far = outcome.state.in_words(outcome.summary.rounds, rounds);
                link::complain(format_args!("{}: {far}", run.stored.path().display()));
            }
        }
        let count = match runs.len() {
            1 => "1 run".to_owned(),
            count => format!("{count} runs"),
        };
        link::print(format_args!("{count} as {}: {}", format.name, self.out.display()))?;
        Ok(Ending::Finished)
    }
}
