//! Joining the parts of a sweep.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use record::{RecordError, StoredRun};

use super::Cell;
use super::pool::{Finished, first_of};
use crate::data::DataKey;

/// Copies the finished cells from `parts` into `out`, and returns all results in the order of `cells`. Cells that
/// `out` has already are left as they are; those that came to nothing stay where they are.
///
/// # Errors
/// If a cell is finished in none of the parts, cannot be copied, or was made on another bench or with other data than
/// the others.
pub fn merge(cells: Vec<Cell>, parts: &[PathBuf], out: &Path) -> anyhow::Result<Finished> {
    let (mut missing, mut failures) = (Vec::new(), Vec::new());
    let mut found = HashMap::new();
    for cell in &cells {
        let places = std::iter::once(out).chain(parts.iter().map(PathBuf::as_path));
        match places.map(|place| cell.finished(place)).find_map(Result::transpose) {
            Some(Ok(finished)) => drop(found.insert(cell.folder(out), finished)),
            Some(Err(error @ RecordError::NothingAggregated { .. })) => {
                failures.push((cell.name(), error.into()));
            }
            Some(Err(error)) => return Err(error.into()),
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
    check_comparable(cells.iter().filter_map(|cell| Some((cell, &found.get(&cell.folder(out))?.0))))?;
    for (to, (run, _)) in &found {
        if run.path() != to {
            run.copy_to(to)?;
        }
    }
    let error = first_of(failures, cells.len());
    let results: Vec<_> = cells
        .into_iter()
        .map(|cell| (found.get(&cell.folder(out)).map(|(_, summary)| summary.clone()), cell))
        .map(|(summary, cell)| (cell, summary))
        .collect();
    Ok(Finished::of(results, error))
}

/// Makes sure that all `runs` are of one bench, and those of the same data set of the same data.
fn check_comparable<'a>(runs: impl Iterator<Item = (&'a Cell, &'a StoredRun)>) -> Result<(), RecordError> {
    let (mut bench, mut data, mut whole) = (None, HashMap::new(), HashMap::new());
    for (cell, run) in runs {
        let first = *bench.get_or_insert(run);
        if run.manifest().bench != first.manifest().bench {
            let (its, of, path) = (&run.manifest().bench, &first.manifest().bench, first.path().display());
            let holds = format!("a run on the bench `{its}`, and {path} one on `{of}`");
            return Err(RecordError::Occupied { path: run.path().to_owned(), holds });
        }
        let key = DataKey::of(&cell.scenario);
        let same_data = *data.entry(key).or_insert(run);
        // What is drawn and split by other seeds is of one data set all the same.
        let same_set = *whole.entry(cell.scenario.dataset.spelled()).or_insert(run);
        let set = same_set.manifest().data.iter().filter(|(name, _)| name.ends_with(" whole"));
        let set = set.map(|(name, digest)| (name.clone(), digest.clone())).collect();
        for (first, data) in [(same_data, &same_data.manifest().data), (same_set, &set)] {
            run.manifest().check_data(run.path(), data, &first.path().display().to_string())?;
        }
    }
    Ok(())
}
