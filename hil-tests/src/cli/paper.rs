//! `hil paper`.

use std::path::PathBuf;

use clap::Args;

use super::common::{Ending, PoolArgs, UsageError};
use crate::experiments::paper::{self, Options, to_text};
use crate::experiments::sweep::Finished;
use crate::system::stop::Stop;

/// Reproduce a table or figure of the paper, beside the paper's figures
///
///   cargo hil paper list
///   cargo hil paper table2a --seeds 5
///   cargo hil paper table2b --quick
///
/// Runs the cells in parallel on all cores and writes CSV, a page and (for figures) SVG. Finished cells are kept: the
/// same command goes on after an interruption, and with more seeds it runs the new ones only. --quick takes one
/// seed, and a tenth of the rounds (at least 50).
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct PaperArgs {
    /// `list`, or tables and figures such as table2a or figure5c
    #[arg(required = true)]
    experiments: Vec<String>,
    /// Repetitions, with seeds 1, 2, ... [default: 5, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: Option<u64>,
    /// One seed, and a tenth of the rounds
    #[arg(long)]
    quick: bool,
    /// Set one key in every cell, which must be none that the experiment varies or is named after; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Where cells and results go
    #[arg(long, value_name = "DIR", default_value = "runs/paper")]
    out: PathBuf,
    #[command(flatten)]
    pool: PoolArgs,
}

impl PaperArgs {
    /// Lists or runs.
    ///
    /// # Errors
    /// An unknown experiment, or a cell that fails.
    pub(super) fn run(self, stop: &Stop) -> anyhow::Result<Ending> {
        if self.experiments == ["list"] {
            for experiment in paper::all() {
                let paper::Experiment { id, title, cases, .. } = experiment;
                link::print(format_args!("{id:12}  {title} ({} cells)", cases.len()))?;
            }
            return Ok(Ending::Finished);
        }
        let find = |id: &String| {
            let unknown = || UsageError(format!("no table or figure `{id}`; `hil paper list` lists them"));
            paper::find(id).ok_or_else(unknown)
        };
        let experiments = self.experiments.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let seeds = self.seeds.unwrap_or(if self.quick { 1 } else { 5 });
        let options = Options { seeds, quick: self.quick, settings: self.settings };
        let pool = self.pool.pool(&self.out)?;
        // All of them first: what is wrong with the last is not to be found out after hours.
        let laid_out =
            experiments.into_iter().map(|experiment| Ok((experiment.cells(&options)?, experiment)));
        let laid_out = laid_out.collect::<anyhow::Result<Vec<_>>>()?;
        for (cells, experiment) in laid_out {
            link::complain(&experiment.title);
            let results = match pool.run(cells, stop.gently())? {
                Finished::All(results) => results,
                Finished::Some(_, error) => return Err(error),
                Finished::Interrupted => return Ok(Ending::Interrupted),
            };
            let id = experiment.id.clone();
            let reproduction = experiment.collect(&results, options.seeds);
            reproduction.write(&self.out, &options)?;
            let page = self.out.join(format!("{id}.html"));
            link::print(format_args!("{}\npage: {}\n", to_text(&reproduction, &options), page.display()))?;
        }
        Ok(Ending::Finished)
    }
}
