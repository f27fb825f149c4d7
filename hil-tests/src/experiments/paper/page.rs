//! A reproduction beside the paper: as text, as CSV, and as a page.

use anyhow::Context;
use maud::{Markup, html};
use record::report::page::{figure, page, wide_table};

use super::experiment::{Options, Reproduction, Shape};
use crate::terminal::table::align;

/// One line for each case: ours, its spread, the paper's, and whether they differ by more than 0.05.
///
/// # Errors
/// None in practice: labels are text.
pub fn to_csv(reproduction: &Reproduction) -> anyhow::Result<String> {
    let experiment = &reproduction.experiment;
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["row", "column", "seeds", "mean", "standard_deviation", "paper", "differs"])?;
    for (position, case) in experiment.cases.iter().enumerate() {
        let (mean, deviation) = reproduction.statistics(position);
        let columns = experiment.columns.len();
        csv.write_record([
            experiment.rows[position / columns].label.clone(),
            experiment.columns[position % columns].label.clone(),
            reproduction.errors[position].len().to_string(),
            format!("{mean:.4}"),
            deviation.map_or_else(String::new, |deviation| format!("{deviation:.4}")),
            case.paper.map_or_else(String::new, |paper| format!("{paper:.2}")),
            if case.paper.is_none() { String::new() } else { reproduction.differs(position).to_string() },
        ])?;
    }
    String::from_utf8(csv.into_inner()?).context("labels are text")
}

/// A table for a terminal: each cell ours with its spread, then the paper's in parentheses, marked with `*` if they
/// differ by more than 0.05.
pub fn to_text(reproduction: &Reproduction, options: &Options) -> String {
    let experiment = &reproduction.experiment;
    let mut lines = vec![vec![String::new()]];
    lines[0].extend(experiment.columns.iter().map(|column| column.label.clone()));
    for (row, line) in experiment.rows.iter().enumerate() {
        let mut cells = vec![line.label.clone()];
        cells.extend((0..experiment.columns.len()).map(|column| {
            let case = row * experiment.columns.len() + column;
            let paper =
                experiment.cases[case].paper.map_or_else(String::new, |paper| format!(" ({paper:.2})"));
            let mark = if reproduction.differs(case) { "*" } else { "" };
            let (mean, deviation) = reproduction.statistics(case);
            let deviation = deviation.map_or_else(String::new, |deviation| format!(" ± {deviation:.3}"));
            format!("{mean:.3}{deviation}{paper}{mark}")
        }));
        lines.push(cells);
    }
    let mut text = format!("{}\n\n{}\n", experiment.title, align(&lines));
    if options.seeds > 1 {
        text.push_str("mean ± standard deviation; ");
    }
    if reproduction.is_published() {
        text.push_str("in parentheses the paper's figure, * where they differ by more than 0.05; ");
    }
    text.push_str(&conditions(reproduction, options));
    text
}

/// The page.
///
/// # Errors
/// If a figure cannot be drawn.
pub fn render(reproduction: &Reproduction, options: &Options) -> anyhow::Result<String> {
    let experiment = &reproduction.experiment;
    let figure = match &experiment.shape {
        Shape::Figure { axis } => Some(figure(&experiment.title, &reproduction.curves(axis))?),
        Shape::Table => None,
    };
    let header = html! { p { (experiment.note) } p { (conditions(reproduction, options)) } };
    let content = html! {
        @if let Some(figure) = figure { (figure) }
        (table(reproduction))
    };
    Ok(page(&experiment.title, &header, &content))
}

fn conditions(reproduction: &Reproduction, options: &Options) -> String {
    let seeds =
        if options.seeds == 1 { "Seed 1".to_owned() } else { format!("Seeds 1 to {}", options.seeds) };
    let quick = if options.quick { "; quick: a tenth of the paper's rounds" } else { "" };
    let settings = options.settings.iter().fold(String::new(), |text, setting| text + "; " + setting);
    let is_set = options.settings.iter().any(|setting| setting.starts_with("training.learning-rate="));
    let rate = reproduction.learning_rate.filter(|_| !is_set);
    let rate =
        rate.map_or_else(String::new, |rate| format!(" Learning rate {rate}, as the paper leaves it open."));
    format!("{seeds}{quick}{settings}.{rate}")
}

fn table(reproduction: &Reproduction) -> Markup {
    let experiment = &reproduction.experiment;
    let columns = experiment.columns.len();
    let table = html! {
        thead { tr { td {} @for column in &experiment.columns { th scope="col" { (column.label) } } } }
        tbody {
            @for (row, line) in experiment.rows.iter().enumerate() {
                tr {
                    th scope="row" { (line.label) }
                    @for column in 0..columns { (cell(reproduction, row * columns + column)) }
                }
            }
        }
    };
    let spread = reproduction.errors.iter().any(|errors| errors.len() > 1);
    html! {
        (wide_table(&experiment.title, &table))
        p.note {
            (if spread { "Mean ± standard deviation of the testing error over the seeds" } else { "Testing error" })
            @if reproduction.is_published() { "; below it the paper's figure. Cells with * differ from it by more than 0.05" }
            "."
        }
    }
}

fn cell(reproduction: &Reproduction, case: usize) -> Markup {
    let (mean, deviation) = reproduction.statistics(case);
    let paper = reproduction.experiment.cases[case].paper;
    html! {
        td.differs[reproduction.differs(case)] {
            strong { (format!("{mean:.3}")) @if reproduction.differs(case) { "*" } }
            @if let Some(deviation) = deviation { " ± " (format!("{deviation:.3}")) }
            @if let Some(paper) = paper { span.published { (format!("{paper:.2}")) } }
        }
    }
}
