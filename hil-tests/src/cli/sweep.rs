//! `hil sweep`.

#![allow(rustdoc::broken_intra_doc_links, reason = "clap prints these comments as they stand")]

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use scenario::catalogue::Catalogue;

use super::common::{Ending, PoolArgs, UsageError};
use crate::experiments::sweep::{Finished, Grid, Share, merge, write_csv};
use crate::system::stop::Stop;

/// Run every cell of a grid over scenario keys, or join the parts of one
///
/// A grid file names a scenario, seeds, and axes:
///
///   scenario = "mnist-trimmed-mean.toml"
///   seeds = [1, 2, 3]
///   [[axes]]
///   key = "aggregation.trim"
///   values = [20, 30, 40]
///
/// Finished cells are kept, so the same command goes on after an interruption. On a cluster each task does its own
/// part (--shard, or a Slurm array or Kubernetes indexed Job, whose variables are read), then:
///
///   cargo hil sweep merge grid.toml --out runs/joined runs/part-1 runs/part-2
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, verbatim_doc_comment)]
pub(super) struct SweepArgs {
    #[command(subcommand)]
    command: Option<SweepCommand>,
    /// The grid file
    #[arg(required = true)]
    grid: Option<PathBuf>,
    /// Where the cells and results.csv go [default: runs/sweep-NAME, after the grid file]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do the I-th of N parts only, whatever a scheduler says; 1/1 is all of it
    #[arg(long, value_name = "I/N")]
    shard: Option<Share>,
    #[command(flatten)]
    pool: PoolArgs,
}

#[derive(Debug, Subcommand)]
enum SweepCommand {
    /// Join the parts of a sweep that ran in different places
    Merge {
        /// The grid file
        grid: PathBuf,
        /// The --out folders of the parts
        #[arg(required = true)]
        parts: Vec<PathBuf>,
        /// Where the joined cells and results.csv go
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

impl SweepArgs {
    /// Runs or joins.
    ///
    /// # Errors
    /// A grid, cell or folder that is unusable.
    pub(super) fn run(self, catalogue: &Catalogue, stop: &Stop) -> anyhow::Result<Ending> {
        let catalogue = self.pool.folder.catalogue(catalogue);
        if let Some(SweepCommand::Merge { grid, parts, out }) = self.command {
            return conclude(merge(Grid::load(&grid)?.cells(&catalogue)?, &parts, &out)?, &out);
        }
        let path = self.grid.unwrap_or_default();
        let mut cells = Grid::load(&path)?.cells(&catalogue)?;
        let share = match self.shard {
            Some(share) => Some(share),
            None => Share::from_scheduler(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
                .map_err(|unclear| UsageError(unclear.to_string()))?,
        };
        if let Some(share) = share {
            let all = cells.len();
            cells = share.of(cells);
            link::complain(format_args!("part {share}: {} of {all} cells", cells.len()));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let out = self.out.unwrap_or_else(|| PathBuf::from(format!("runs/sweep-{stem}")));
        conclude(self.pool.pool(&out)?.run(cells, stop.gently())?, &out)
    }
}

/// Writes the table of what came of all cells. That some came to nothing is an error in the end.
fn conclude(finished: Finished, out: &Path) -> anyhow::Result<Ending> {
    let Some((results, error)) = finished.results() else { return Ok(Ending::Interrupted) };
    let table = out.join("results.csv");
    write_csv(&table, &results)?;
    link::print(format_args!("{} cells: {}", results.len(), table.display()))?;
    error.map_or(Ok(Ending::Finished), Err)
}
