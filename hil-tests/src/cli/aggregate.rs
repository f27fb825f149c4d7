//! `hil aggregate`.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use input::npy::{self, Array};
use scenario::catalogue::Catalogue;
use scenario::table_of;

use super::arrays::{Models, vector};
use super::common::{Ending, UsageError};
use crate::arrays::{Aggregator, Given};

/// Aggregate updates of your own by one of the rules
///
///   cargo hil aggregate krum updates.npy --byzantine 20 --out aggregate.npy
///   cargo hil aggregate geometric-median updates.npy --byzantine 20 --set smoothing=0.1 --set steps=3 --out aggregate.npy
///
/// `hil list rules` lists the rules. What a rule keeps from round to round is as at the beginning of a run.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct AggregateArgs {
    /// The rule
    rule: String,
    #[command(flatten)]
    models: Models,
    /// How many of the devices are assumed to be Byzantine
    #[arg(long, value_name = "N", default_value_t = 0)]
    byzantine: usize,
    /// Set one key of the rule, as in --set trim=3; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// How many examples each device has trained on, m numbers, for a rule that weighs by them
    #[arg(long, value_name = "FILE")]
    examples: Option<PathBuf>,
    /// What the aggregator has trained itself, d numbers, for a rule that wants it
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// The seed of what a rule draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the aggregate goes, d numbers in numpy's format
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl AggregateArgs {
    /// Aggregates.
    ///
    /// # Errors
    /// A rule, setting or file that is unusable, and what the rule says against the updates.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let settings = table_of(&self.settings).map_err(UsageError)?;
        let mut aggregator = Aggregator::new(catalogue, &self.rule, settings, self.byzantine, self.seed)?;
        let matrix = self.models.read()?;
        let examples = self.examples.as_deref().map(|path| vector(path, matrix.devices())).transpose()?;
        let examples: Option<Vec<f64>> = examples.map(|counts| counts.into_iter().map(f64::from).collect());
        let root = self.root.as_deref().map(|path| vector(path, matrix.dimension())).transpose()?;
        let rows = matrix.rows();
        let devices: Vec<u32> = (0..rows.len() as u32).collect();
        let aggregate = aggregator.aggregate(Given {
            rows: &rows,
            devices: &devices,
            global: matrix.global.as_deref(),
            examples: examples.as_deref(),
            root: root.as_deref(),
        })?;
        let used = aggregate.used.len();
        let array = Array { shape: vec![matrix.dimension()], values: aggregate.values };
        npy::write(&self.out, &array).with_context(|| self.out.display().to_string())?;
        let (devices, out) = (rows.len(), self.out.display());
        link::print(format_args!("{}: {used} of {devices} rows have a part in {out}", self.rule))?;
        Ok(Ending::Finished)
    }
}
