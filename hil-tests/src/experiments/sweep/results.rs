//! Results of cells as one table.

use std::fs;
use std::path::Path;

use anyhow::Context;
use record::metrics::{RunMetric, Table};
use record::{Summary, write_atomically};

use super::Cell;

/// One line for each cell: its labels, and what came of it; nothing behind the labels of one that came to nothing.
///
/// # Errors
/// None in practice: labels are text.
pub fn to_csv(results: &[(Cell, Option<Summary>)]) -> anyhow::Result<String> {
    let columns = || RunMetric::columns(Table::Sweep);
    let mut csv = csv::Writer::from_writer(Vec::new());
    if let Some((first, _)) = results.first() {
        let axes = first.labels.iter().map(|(axis, _)| axis.as_str());
        csv.write_record(axes.chain(columns().map(|metric| metric.name)))?;
    }
    for (cell, summary) in results {
        let labels = cell.labels.iter().map(|(_, label)| label.clone());
        let value =
            |metric: &RunMetric| summary.as_ref().map(|summary| metric.cell(summary)).unwrap_or_default();
        csv.write_record(labels.chain(columns().map(value)))?;
    }
    String::from_utf8(csv.into_inner()?).context("labels are text")
}

/// Writes [`to_csv`] to `path`, whose folder it makes: a part without cells has none yet.
///
/// # Errors
/// If the file cannot be written.
pub fn write_csv(path: &Path, results: &[(Cell, Option<Summary>)]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(write_atomically(path, to_csv(results)?.as_bytes())?)
}
