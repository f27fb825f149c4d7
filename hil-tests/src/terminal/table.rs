//! Results as a table.

use record::Summary;
use record::metrics::{RunMetric, Table};

/// Digits of a share behind the point.
const DIGITS: usize = 3;

/// A table of labelled summaries, one line each, for a terminal.
pub fn summaries(rows: &[(String, Summary)]) -> String {
    let columns = || RunMetric::columns(Table::Terminal);
    let mut lines = vec![vec!["run".to_owned(), "bench".to_owned()]];
    lines[0].extend(columns().map(|metric| metric.title.to_lowercase()));
    lines.extend(rows.iter().map(|(label, summary)| {
        let cells = columns().map(|metric| metric.show(summary, DIGITS));
        [label.clone(), summary.bench.clone()].into_iter().chain(cells).collect()
    }));
    align(&lines)
}

/// Left-aligns the first column and right-aligns the others.
pub(crate) fn align(lines: &[Vec<String>]) -> String {
    aligned(lines, 1)
}

/// Left-aligns all columns.
pub(crate) fn align_left(lines: &[Vec<String>]) -> String {
    aligned(lines, usize::MAX)
}

/// Left-aligns the first so many columns, and right-aligns the others.
fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < left { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregated_rounds_and_updates_are_shown() {
        let summary =
            Summary { aggregated_rounds: 7, least_updates: 3, mean_updates: 4.25, ..Summary::default() };
        let text = summaries(&[("a".to_owned(), summary)]);
        assert!(text.contains("rounds  aggregated  updates") && text.contains("  7  3 / 4.2  "), "{text}");
    }

    #[test]
    fn columns_line_up() {
        let line = |cells: [&str; 2]| cells.map(ToOwned::to_owned).to_vec();
        let text = align(&[line(["run", "error"]), line(["a longer one", "0.1"])]);
        assert_eq!(text, "run           error\na longer one    0.1\n");
    }
}
