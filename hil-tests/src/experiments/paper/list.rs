//! The list of experiments: `experiments.toml`.

use std::collections::BTreeMap;

use scenario::{ResultModel, key_of};
use serde::Deserialize;

use super::experiment::{Case, Experiment, Line, Shape};

/// Text that a test reads.
const LIST: &str = include_str!("experiments.toml");
const NO_ATTACK: &str = "attack.kind=none";
const OF_A_TABLE: &str = "Mean testing error over the seeds, of the last global model.";
const OF_A_FIGURE: &str =
    "Mean testing error over the seeds, of the last global model; the paper gives curves, not numbers.";

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// Rows or columns that several experiments have, by name.
    lines: BTreeMap<String, Vec<Entry>>,
    experiments: Vec<Written>,
}

/// An experiment, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    title: String,
    note: Option<String>,
    /// The title of the horizontal axis, of a figure.
    axis: Option<String>,
    #[serde(default = "last")]
    result: ResultModel,
    /// Settings of every case.
    #[serde(default)]
    set: Vec<String>,
    rows: Lines,
    columns: Lines,
    /// Attacks of which the worst on each case counts.
    #[serde(default, rename = "worst-of")]
    worst_of: Vec<Vec<String>>,
    /// The paper's testing error rates, a list for each row; of a table.
    #[serde(default)]
    paper: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Lines {
    Named(String),
    Own(Vec<Entry>),
}

/// A row or a column.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    label: String,
    /// What its rule is attacked by.
    attack: Option<String>,
    /// Its settings.
    set: Vec<String>,
}

fn last() -> ResultModel {
    ResultModel::Last
}

/// Every experiment, in the paper's order.
pub(super) fn all() -> Vec<Experiment> {
    let List { lines, experiments } = toml::from_str(LIST).expect("the list is part of this program");
    experiments.into_iter().map(|written| written.experiment(&lines)).collect()
}

impl Written {
    fn experiment(self, named: &BTreeMap<String, Vec<Entry>>) -> Experiment {
        let lines = |lines| match lines {
            Lines::Named(name) => named[&name].clone(),
            Lines::Own(own) => own,
        };
        let (rows, columns) = (lines(self.rows), lines(self.columns));
        let mut cases = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let figures = self.paper.get(place);
            for (place, column) in columns.iter().enumerate() {
                let paper = figures.and_then(|figures| figures.get(place)).copied();
                cases.push(Case { settings: settings(&self.set, row, column), result: self.result, paper });
            }
        }
        let usual = if self.axis.is_some() { OF_A_FIGURE } else { OF_A_TABLE };
        let labels = |entries: Vec<Entry>| entries.into_iter().map(|it| Line { label: it.label }).collect();
        Experiment {
            id: self.id,
            title: self.title,
            shape: self.axis.map_or(Shape::Table, |axis| Shape::Figure { axis }),
            rows: labels(rows),
            columns: labels(columns),
            cases,
            worst_of: if self.worst_of.is_empty() { vec![Vec::new()] } else { self.worst_of },
            note: self.note.unwrap_or_else(|| usual.to_owned()),
        }
    }
}

/// The settings of the case in `row` and `column`.
fn settings(base: &[String], row: &Entry, column: &Entry) -> Vec<String> {
    let attack = row.attack.as_ref().or(column.attack.as_ref()).map_or("", String::as_str);
    let of = |line: &Entry| -> Vec<String> {
        line.set.iter().map(|setting| setting.replace("{label}", &line.label)).collect()
    };
    let all = base.iter().cloned().chain(of(row)).chain(of(column));
    let mut all: Vec<String> = all.map(|setting| setting.replace("{attack}", attack)).collect();
    if all.iter().any(|setting| setting == NO_ATTACK) {
        // Where nobody attacks, nothing is known either.
        all.retain(|setting| setting == NO_ATTACK || !key_of(setting).starts_with("attack."));
    }
    all
}
