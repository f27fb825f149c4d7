//! Results of cells as one table.

use std::fs;
use std::path::Path;

use aggregator_node::record::{Summary, write_atomically};
use anyhow::Context;

use super::Cell;

/// The columns that follow the axes.
pub(super) const RESULTS: [&str; 5] =
    ["final_test_error", "best_test_error", "seconds", "refused", "model_sha256"];

/// One line for each cell: its labels, and what came of it; nothing behind the labels of one that came to nothing.
///
/// # Errors
/// None in practice: labels are text.
pub fn to_csv(results: &[(Cell, Option<Summary>)]) -> anyhow::Result<String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    if let Some((first, _)) = results.first() {
        let axes = first.labels.iter().map(|(axis, _)| axis.as_str());
        csv.write_record(axes.chain(RESULTS))?;
    }
    let optional = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for (cell, summary) in results {
        let mut line: Vec<String> = cell.labels.iter().map(|(_, label)| label.clone()).collect();
        let values = summary.as_ref().map_or_else(Default::default, |summary| {
            [
                optional(summary.final_test_error),
                optional(summary.best_test_error),
                format!("{:.1}", summary.seconds),
                summary.refused.values().sum::<u64>().to_string(),
                summary.model_sha256.clone(),
            ]
        });
        line.extend::<[String; RESULTS.len()]>(values);
        csv.write_record(line)?;
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
