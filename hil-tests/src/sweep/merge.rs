//! Joining the parts of a sweep.

use std::fs;
use std::path::{Path, PathBuf};

use aggregator_node::record::Summary;
use anyhow::{Context, ensure};

use super::Cell;

/// Copies the finished cells from `parts` into `out`, and returns all results in the order of `cells`. Cells that
/// `out` has already are left as they are.
///
/// # Errors
/// If a cell is finished in none of the parts, or cannot be copied.
pub fn merge(cells: Vec<Cell>, parts: &[PathBuf], out: &Path) -> anyhow::Result<Vec<(Cell, Summary)>> {
    let mut missing = Vec::new();
    for cell in &cells {
        if cell.summary(out)?.is_some() {
            continue;
        }
        let mut found = None;
        for part in parts {
            if cell.summary(part)?.is_some() {
                found = Some(cell.folder(part));
                break;
            }
        }
        match found {
            Some(from) => copy(&from, &cell.folder(out))?,
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
    cells
        .into_iter()
        .map(|cell| {
            let summary = cell.summary(out)?.context("a copied cell has its summary")?;
            Ok((cell, summary))
        })
        .collect()
}

/// Copies a run directory; its summary last, because who finds a summary finds the rest.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let named = |path: &Path| path.display().to_string();
    fs::create_dir_all(to).with_context(|| named(to))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(from).with_context(|| named(from))? {
        let path = entry.with_context(|| named(from))?.path();
        if path.is_file() && path.file_name().is_some_and(|name| name != ".lock") {
            files.push(path);
        }
    }
    files.sort_by_key(|path| path.ends_with("summary.json"));
    for file in files {
        let target = to.join(file.file_name().unwrap_or_default());
        fs::copy(&file, &target).with_context(|| format!("{} to {}", named(&file), named(&target)))?;
    }
    Ok(())
}
