//! Joining the parts of a sweep.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use aggregator_node::record::{RecordError, StoredRun, Summary, copy_file};
use anyhow::{Context, ensure};

use super::Cell;
use crate::fleet_data::DataKey;

/// Copies the finished cells from `parts` into `out`, and returns all results in the order of `cells`. Cells that
/// `out` has already are left as they are.
///
/// # Errors
/// If a cell is finished in none of the parts, cannot be copied, or was made on another bench or with other data than
/// the others.
pub fn merge(cells: Vec<Cell>, parts: &[PathBuf], out: &Path) -> anyhow::Result<Vec<(Cell, Summary)>> {
    let mut missing = Vec::new();
    let mut found = HashMap::new();
    for cell in &cells {
        let places = std::iter::once(out).chain(parts.iter().map(PathBuf::as_path));
        let finished = places.map(|place| cell.finished(place)).find_map(Result::transpose).transpose()?;
        match finished {
            Some(finished) => drop(found.insert(cell.folder(out), finished)),
            None => missing.push(cell.name()),
        }
    }
    ensure!(
        missing.is_empty(),
        "{} of {} cells are finished in none of the parts, the first is `{}`; run the part that lacks it again",
        missing.len(),
        cells.len(),
        missing[0]
    );
    check_comparable(cells.iter().map(|cell| (cell, &found[&cell.folder(out)].0)))?;
    for (to, (run, _)) in &found {
        if run.path() != to {
            copy(run.path(), to)?;
        }
    }
    Ok(cells
        .into_iter()
        .map(|cell| (found[&cell.folder(out)].1.clone(), cell))
        .map(|(summary, cell)| (cell, summary))
        .collect())
}

/// Makes sure that all `runs` are of one bench, and those of the same data set of the same data.
fn check_comparable<'a>(runs: impl Iterator<Item = (&'a Cell, &'a StoredRun)>) -> Result<(), RecordError> {
    let (mut bench, mut data) = (None, HashMap::new());
    for (cell, run) in runs {
        let first = *bench.get_or_insert(run);
        if run.manifest().bench != first.manifest().bench {
            let (its, of, path) = (&run.manifest().bench, &first.manifest().bench, first.path().display());
            let holds = format!("a run on the bench `{its}`, and {path} one on `{of}`");
            return Err(RecordError::Occupied { path: run.path().to_owned(), holds });
        }
        let first = *data.entry(DataKey::of(&cell.scenario)).or_insert(run);
        run.manifest().check_data(run.path(), &first.manifest().data, &first.path().display().to_string())?;
    }
    Ok(())
}

/// Copies a run directory: its manifest last but for its summary, because who finds one of them finds the rest.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let named = |path: &Path| path.display().to_string();
    fs::create_dir_all(to).with_context(|| named(to))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(from).with_context(|| named(from))? {
        let entry = entry.with_context(|| named(from))?;
        if entry.file_type().with_context(|| named(from))?.is_file() && entry.file_name() != ".lock" {
            files.push(entry.path());
        }
    }
    files.sort_by_key(|path| (path.ends_with("summary.json"), path.ends_with("manifest.json")));
    for file in files {
        copy_file(&file, &to.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}
