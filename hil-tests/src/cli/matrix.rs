//! `hil matrix`.

#![allow(rustdoc::broken_intra_doc_links, reason = "clap prints these comments as they stand")]

use std::path::PathBuf;

use clap::Args;
use scenario::catalogue::Catalogue;

use super::common::{Ending, PoolArgs};
use crate::experiments::matrix::{Matrix, Outcome};
use crate::experiments::sweep::write_csv;
use crate::system::stop::Stop;

/// Run every attack against every defense, and show the worst case of each defense
///
/// The file is a scenario with two more lists:
///
///   name = "first-look"
///   dataset = "mnist"
///   model = "logistic-regression"
///   rounds = 100
///   attacks = ["none", "sign-flip", { label = "optimised IPM", kind = "inner-product", optimise = true }]
///   defenses = ["mean", "median", "nnm + krum", { rule = "mean", before = [{ kind = "clip", norm = 1.0 }], label = "clip" }]
///
/// Runs the cells in parallel on all cores, and writes a page with heat maps, these as SVG, and CSV. Finished cells are
/// kept: the same command goes on after an interruption, and runs only what has been added.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct MatrixArgs {
    /// The file
    matrix: PathBuf,
    /// Set one key in every cell, which must be none of an attack or a defense; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Where cells and results go [default: runs/matrix-NAME, after the file]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    pool: PoolArgs,
}

impl MatrixArgs {
    /// Runs it.
    ///
    /// # Errors
    /// A file or a cell that is unusable.
    pub(super) fn run(self, catalogue: &Catalogue, stop: &Stop) -> anyhow::Result<Ending> {
        let matrix = Matrix::load(&self.matrix)?;
        let cells = matrix.cells(&self.pool.folder.catalogue(catalogue), &self.settings)?;
        let stem = self.matrix.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let out = self.out.unwrap_or_else(|| PathBuf::from(format!("runs/matrix-{stem}")));
        let scenario = cells[0].scenario.clone();
        let finished = self.pool.pool(&out)?.run(cells, stop.gently())?;
        let Some((results, error)) = finished.results() else { return Ok(Ending::Interrupted) };
        write_csv(&out.join("results.csv"), &results)?;
        let outcome = Outcome::of(&matrix, &results);
        let seeds: Vec<String> = matrix.seeds.iter().map(ToString::to_string).collect();
        let note = format!(
            "{}, {}: {} rounds of {} devices, {} of them compromised; seed{} {}.",
            scenario.dataset.spelled(),
            scenario.model.spelled(),
            scenario.rounds,
            scenario.fleet.devices,
            scenario.fleet.compromised,
            if seeds.len() == 1 { "" } else { "s" },
            seeds.join(", ")
        );
        outcome.write(&out, &scenario.name, &note)?;
        let page = out.join("matrix.html");
        link::print(format_args!("{}\npage: {}", outcome.to_text(), page.display()))?;
        error.map_or(Ok(Ending::Finished), Err)
    }
}
