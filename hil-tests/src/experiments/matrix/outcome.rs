//! What came of a matrix.

use anyhow::Context as _;
use record::Summary;
use record::metrics::{RUNS, Value};
use record::report::heat_map::HeatMap;
use scenario::ResultModel;

use super::Matrix;
use crate::experiments::statistics::{deviation, mean};
use crate::experiments::sweep::Cell;
use crate::terminal::table::align;

/// The results of a matrix. Cells are counted row by row: attack by attack.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The attacks.
    pub attacks: Vec<String>,
    /// The defenses.
    pub defenses: Vec<String>,
    /// The testing errors of each cell, one for each seed that came to an end.
    pub errors: Vec<Vec<f64>>,
    /// The attack success rates of each cell, if its attack is after a label.
    pub successes: Vec<Vec<f64>>,
}

impl Outcome {
    /// Puts the results of the cells of `matrix` back into their places.
    pub fn of(matrix: &Matrix, results: &[(Cell, Option<Summary>)]) -> Self {
        let labels =
            |entries: &[super::file::Entry]| entries.iter().map(|entry| entry.label.clone()).collect();
        let error = |cell: &Cell, summary: &Summary| match cell.scenario.evaluation.model {
            ResultModel::Best => summary.best_test_error,
            ResultModel::Last => summary.final_test_error,
        };
        let measure = RUNS.iter().find(|metric| metric.name == "attack_success");
        let success = |summary: &Summary| match measure?.of(summary)? {
            Value::Number(share) => Some(share),
            Value::Text(_) => None,
        };
        let seeds = results.chunks(matrix.seeds.len());
        let (errors, successes) = seeds
            .map(|results| {
                let done = || results.iter().filter_map(|(cell, it)| Some((cell, it.as_ref()?)));
                let errors = done().filter_map(|(cell, summary)| error(cell, summary)).collect();
                (errors, done().filter_map(|(_, summary)| success(summary)).collect())
            })
            .unzip();
        Outcome { attacks: labels(&matrix.attacks), defenses: labels(&matrix.defenses), errors, successes }
    }

    /// Whether an attack is after a label.
    pub fn has_successes(&self) -> bool {
        self.successes.iter().any(|of_cell| !of_cell.is_empty())
    }

    /// For each defense the attack with the largest mean of `values`, of equals the first.
    pub fn worst(&self, values: &[Vec<f64>]) -> Vec<Option<usize>> {
        let width = self.defenses.len();
        let of = |defense: usize| {
            let all = (0..self.attacks.len())
                .filter_map(|attack| Some((attack, mean(&values[attack * width + defense])?)));
            all.reduce(|worst, next| if next.1 > worst.1 { next } else { worst }).map(|(attack, _)| attack)
        };
        (0..width).map(of).collect()
    }

    /// The means of `values` as a heat map, in which the worst of each defense has a frame, and stands again in a last row.
    pub fn heat_map(&self, values: &[Vec<f64>]) -> HeatMap {
        let width = self.defenses.len();
        let worst = self.worst(values);
        let cell =
            |(place, values): (usize, &Vec<f64>)| (mean(values), worst[place % width] == Some(place / width));
        let mut cells: Vec<_> = values.iter().enumerate().map(cell).collect();
        let last = worst.iter().enumerate();
        cells.extend(last.map(|(defense, worst)| {
            (worst.and_then(|attack| mean(&values[attack * width + defense])), false)
        }));
        let rows = self.attacks.iter().cloned().chain(["worst".to_owned()]).collect();
        HeatMap { rows, columns: self.defenses.clone(), cells }
    }

    /// One line for each cell.
    ///
    /// # Errors
    /// None in practice: labels are text.
    pub fn to_csv(&self) -> anyhow::Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record([
            "attack",
            "defense",
            "seeds",
            "test_error",
            "standard_deviation",
            "worst",
            "attack_success",
        ])?;
        let (width, worst) = (self.defenses.len(), self.worst(&self.errors));
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.4}"));
        for (place, errors) in self.errors.iter().enumerate() {
            let (attack, defense) = (place / width, place % width);
            csv.write_record([
                self.attacks[attack].clone(),
                self.defenses[defense].clone(),
                errors.len().to_string(),
                number(mean(errors)),
                number(deviation(errors)),
                (worst[defense] == Some(attack)).to_string(),
                number(mean(&self.successes[place])),
            ])?;
        }
        String::from_utf8(csv.into_inner()?).context("labels are text")
    }

    /// A table for a terminal: the mean testing errors, and after a slash attack success rates; `*` marks the worst of each
    /// defense.
    pub fn to_text(&self) -> String {
        let width = self.defenses.len();
        let worst = self.worst(&self.errors);
        let mut lines = vec![vec![String::new()]];
        lines[0].extend(self.defenses.iter().cloned());
        for (attack, label) in self.attacks.iter().enumerate() {
            let cell = |defense: usize| {
                let place = attack * width + defense;
                let mark = if worst[defense] == Some(attack) { "*" } else { "" };
                let error =
                    mean(&self.errors[place]).map_or_else(|| "-".to_owned(), |error| format!("{error:.3}"));
                let success =
                    mean(&self.successes[place]).map_or_else(String::new, |share| format!("/{share:.3}"));
                format!("{error}{success}{mark}")
            };
            lines.push([label.clone()].into_iter().chain((0..width).map(cell)).collect());
        }
        let successes = if self.has_successes() { ", and after a slash the attack success rate" } else { "" };
        format!("{}\ntesting error{successes}; * marks the worst attack on each defense\n", align(&lines))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn outcome() -> Outcome {
        let labels = |labels: [&str; 2]| labels.map(str::to_owned).to_vec();
        Outcome {
            attacks: labels(["none", "trigger"]),
            defenses: labels(["mean", "krum"]),
            errors: vec![vec![0.1, 0.2], vec![0.3, 0.3], vec![0.9, 0.7], vec![]],
            successes: vec![vec![], vec![], vec![0.5, 1.0], vec![]],
        }
    }

    #[test]
    fn the_worst_attack_on_each_defense_is_marked() {
        let outcome = outcome();
        assert_eq!(outcome.worst(&outcome.errors), [Some(1), Some(0)]);
        assert_eq!(outcome.worst(&outcome.successes), [Some(1), None]);
        let map = outcome.heat_map(&outcome.errors);
        let framed: Vec<bool> = map.cells.iter().map(|(_, framed)| *framed).collect();
        assert_eq!(framed, [false, true, true, false, false, false]);
        assert_eq!(map.cells[4].0, Some(0.8), "again in the last row");
        assert_eq!(map.rows, ["none", "trigger", "worst"]);
    }

    #[test]
    fn the_table_has_a_line_for_each_cell() {
        let csv = outcome().to_csv().unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[1], "none,mean,2,0.1500,0.0707,false,");
        assert_eq!(lines[3], "trigger,mean,2,0.8000,0.1414,true,0.7500");
        assert_eq!(lines[4], "trigger,krum,0,,,false,");
        let text = outcome().to_text();
        assert!(text.contains("0.800/0.750*") && text.contains("0.300*") && text.contains('-'), "{text}");
    }
}
