//! An experiment, and its results.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use record::Summary;
use record::report::plot::{LinePlot, Series};
use scenario::{ResultModel, Scenario, key_of};

use crate::experiments::statistics::{deviation, mean};
use crate::experiments::sweep::Cell;

/// The paper's defaults (its Table 1).
const BASE: &str = include_str!("base.toml");
/// With `--quick`: one seed, and so many times fewer rounds, but at least [`QUICK_AT_LEAST`].
const QUICK_DIVISOR: u32 = 10;
const QUICK_AT_LEAST: u32 = 50;

/// A table or figure of the paper.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// As on the command line: `table2a`.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// How it is shown.
    pub shape: Shape,
    /// What its rows (a figure's lines) vary.
    pub rows: Vec<Line>,
    /// What its columns (a figure's positions) vary.
    pub columns: Vec<Line>,
    /// One case for each row and column, row by row.
    pub cases: Vec<Case>,
    /// Settings on top of those of a case, of which the worst counts; mostly none, once.
    pub worst_of: Vec<Vec<String>>,
    /// What a reader should know of how it is run.
    pub note: String,
}

/// How an experiment is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As a table of numbers.
    Table,
    /// As a plot: a line for each row over the columns, whose labels are numbers.
    Figure {
        /// Title of the horizontal axis.
        axis: String,
    },
}

/// A row or a column.
#[derive(Clone, Debug)]
pub struct Line {
    /// As the paper calls it.
    pub label: String,
}

/// One cell of an experiment.
#[derive(Clone, Debug)]
pub struct Case {
    /// Settings on top of the paper's defaults, `key=value`.
    pub settings: Vec<String>,
    /// Which global model's error counts. A run reports both, so that experiments that differ in this alone share it.
    pub result: ResultModel,
    /// The paper's testing error rate, where it gives one.
    pub paper: Option<f64>,
}

/// How an experiment is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Repetitions with seeds 1, 2, ...
    pub seeds: u64,
    /// A tenth of the rounds.
    pub quick: bool,
    /// Settings of every cell; beside `rounds` none that the experiment has itself.
    pub settings: Vec<String>,
}

/// What came of an experiment: for each case, the errors over the seeds.
#[derive(Clone, Debug)]
pub struct Reproduction {
    /// The experiment.
    pub experiment: Experiment,
    /// For each case, the testing error of each seed.
    pub errors: Vec<Vec<f64>>,
    /// The learning rate, if all cells have the same.
    pub learning_rate: Option<f64>,
}

impl Experiment {
    /// The cells to run: every case, as each of those of which the worst counts, with every seed.
    ///
    /// # Errors
    /// If a setting of `options` does not fit.
    pub fn cells(&self, options: &Options) -> anyhow::Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for (position, case) in self.cases.iter().enumerate() {
            let row = &self.rows[position / self.columns.len()].label;
            let column = &self.columns[position % self.columns.len()].label;
            let each =
                self.worst_of.iter().flat_map(|more| (1..=options.seeds).map(move |seed| (more, seed)));
            for (more, seed) in each {
                let scenario = case.scenario(more, seed, options);
                let scenario = scenario.with_context(|| format!("{}: {row}, {column}", self.id))?;
                let labels = [("row", row.clone()), ("column", column.clone()), ("seed", seed.to_string())];
                cells.push(Cell {
                    labels: labels.map(|(axis, label)| (axis.to_owned(), label)).to_vec(),
                    scenario: Arc::new(scenario),
                });
            }
        }
        Ok(cells)
    }

    /// Puts the results of [`Experiment::cells`] back into their places.
    pub fn collect(self, results: &[(Cell, Summary)], seeds: u64) -> Reproduction {
        let error = |case: &Case, (cell, summary): &(Cell, Summary)| {
            let best = [case.result, cell.scenario.evaluation.model].contains(&ResultModel::Best);
            let error = if best { summary.best_test_error } else { summary.final_test_error };
            error.unwrap_or(f64::NAN)
        };
        let seeds = seeds.max(1) as usize;
        let of_cases = self.cases.iter().zip(results.chunks(seeds * self.worst_of.len()));
        let worst = |(case, results): (&Case, &[(Cell, Summary)])| {
            let each = results.chunks(seeds);
            let each = each.map(|of_seeds| of_seeds.iter().map(|result| error(case, result)).collect());
            // Of the same number of seeds, the largest sum is the largest mean.
            let sum = |errors: &Vec<f64>| errors.iter().sum::<f64>();
            each.max_by(|a, b| sum(a).total_cmp(&sum(b))).unwrap_or_default()
        };
        let errors = of_cases.map(worst).collect();
        let mut rates = results.iter().map(|(cell, _)| cell.scenario.training.learning_rate);
        let learning_rate = rates.next().filter(|first| rates.all(|rate| rate == *first));
        Reproduction { errors, learning_rate, experiment: self }
    }
}

impl Case {
    fn scenario(&self, more: &[String], seed: u64, options: &Options) -> anyhow::Result<Scenario> {
        let sets_rounds = |setting: &String| key_of(setting) == "rounds";
        let mut settings = [self.settings.as_slice(), more].concat();
        if options.settings.iter().any(sets_rounds) {
            // The one key of an experiment that neither its title nor a row or column names.
            settings.retain(|setting| !sets_rounds(setting));
        }
        settings.push(format!("seed={seed}"));
        settings.extend(options.settings.iter().cloned());
        let mut scenario = Scenario::parse("the paper's defaults", BASE, &settings)?;
        if options.quick {
            scenario.rounds = (scenario.rounds / QUICK_DIVISOR).max(QUICK_AT_LEAST.min(scenario.rounds));
        }
        Ok(scenario)
    }
}

impl Reproduction {
    /// Mean and sample standard deviation of a case's errors; no deviation with a single seed.
    pub fn statistics(&self, case: usize) -> (f64, Option<f64>) {
        let errors = &self.errors[case];
        (mean(errors).unwrap_or(f64::NAN), deviation(errors))
    }

    /// Whether there are figures of the paper.
    pub fn is_published(&self) -> bool {
        self.experiment.cases.iter().any(|case| case.paper.is_some())
    }

    /// Whether a case differs from the paper by more than 0.05.
    pub fn differs(&self, case: usize) -> bool {
        let paper = self.experiment.cases[case].paper;
        paper.is_some_and(|paper| (self.statistics(case).0 - paper).abs() > 0.05)
    }

    /// Testing error over the columns, whose title is `axis`: a line for each row. Columns stand at equal distances, since
    /// some of the paper's axes are neither linear nor logarithmic.
    pub fn curves(&self, axis: &str) -> LinePlot {
        let Experiment { rows, columns, .. } = &self.experiment;
        let curve = |(row, line): (usize, &Line)| {
            let error = |column| (column as u32, self.statistics(row * columns.len() + column).0);
            Series { label: line.label.clone(), points: (0..columns.len()).map(error).collect() }
        };
        LinePlot {
            across: axis.to_owned(),
            places: columns.iter().map(|line| line.label.clone()).collect(),
            down: "testing error rate",
            top: Some(1.0),
            series: rows.iter().enumerate().map(curve).collect(),
        }
    }

    /// Writes the table as CSV, the page, and a figure's SVG into `out`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, out: &Path, options: &Options) -> anyhow::Result<()> {
        use record::write_atomically;
        let id = &self.experiment.id;
        write_atomically(&out.join(format!("{id}.csv")), super::to_csv(self)?.as_bytes())?;
        if let Shape::Figure { axis } = &self.experiment.shape {
            let svg = self.curves(axis).file();
            let svg = svg.map_err(|why| anyhow!("{id} cannot be drawn: {why}"))?;
            write_atomically(&out.join(format!("{id}.svg")), svg.as_bytes())?;
        }
        let page = super::render(self, options)?;
        Ok(write_atomically(&out.join(format!("{id}.html")), page.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::experiments::paper::all;

    fn options(seeds: u64, quick: bool) -> Options {
        Options { seeds, quick, settings: Vec::new() }
    }

    fn summary(final_error: f64, best_error: f64) -> Summary {
        Summary {
            final_test_error: Some(final_error),
            best_test_error: Some(best_error),
            ..Summary::default()
        }
    }

    #[test]
    fn every_cell_of_every_experiment_is_a_valid_scenario() {
        for experiment in all() {
            assert_eq!(
                experiment.cases.len(),
                experiment.rows.len() * experiment.columns.len(),
                "{}",
                experiment.id
            );
            let cells = experiment.cells(&options(1, false)).unwrap();
            assert_eq!(cells.len(), experiment.cases.len() * experiment.worst_of.len());
        }
    }

    #[test]
    fn experiments_have_names_of_their_own() {
        let ids: BTreeSet<_> = all().into_iter().map(|experiment| experiment.id).collect();
        assert_eq!(ids.len(), all().len());
    }

    #[test]
    fn quick_takes_a_tenth_of_the_rounds() {
        let rounds = |id, quick| {
            let cells = crate::experiments::paper::find(id).unwrap().cells(&options(1, quick)).unwrap();
            cells[0].scenario.rounds
        };
        assert_eq!((rounds("table2b", false), rounds("table2b", true)), (2000, 200));
        assert_eq!(rounds("table2a", true), 50);
    }

    #[test]
    fn a_setting_that_would_make_a_title_row_or_column_untrue_is_refused() {
        let cells = |id, setting: &str| {
            let options = Options { settings: vec![setting.to_owned()], ..options(2, false) };
            crate::experiments::paper::find(id).unwrap().cells(&options)
        };
        for (id, setting) in [
            ("table2a", "aggregation.rule=median"),
            ("table2a", "attack.kind=none"),
            ("table2b", "model=logistic-regression"),
            ("table2a", "seed=4"),
        ] {
            let error = format!("{:#}", cells(id, setting).unwrap_err());
            assert!(
                error.contains(setting) && error.contains("already; leave one of the two out"),
                "{error}"
            );
        }
        assert_eq!(cells("table2b", "rounds=20").unwrap()[0].scenario.rounds, 20);
        assert_eq!(cells("table2a", "training.batch-size=16").unwrap()[0].scenario.training.batch_size, 16);
    }

    #[test]
    fn table_3_reads_the_best_models_of_the_runs_of_table_2b() {
        let find = |id| crate::experiments::paper::find(id).unwrap();
        let cells = |id| find(id).cells(&options(2, true)).unwrap();
        let digests = |id| cells(id).iter().map(|cell| cell.scenario.digest()).collect::<Vec<_>>();
        assert_eq!(digests("table3"), digests("table2b"));
        let results: Vec<_> = cells("table3").into_iter().map(|cell| (cell, summary(0.3, 0.2))).collect();
        assert_eq!(find("table2b").collect(&results, 2).errors[14], [0.3, 0.3]);
        assert_eq!(find("table3").collect(&results, 2).errors[14], [0.2, 0.2]);
    }

    #[test]
    fn the_learning_rate_is_that_of_the_cells() {
        let rate = |setting: &str| {
            let options = Options { settings: vec![setting.to_owned()], ..options(1, true) };
            let experiment = crate::experiments::paper::find("table7b").unwrap();
            let cells = experiment.cells(&options).unwrap();
            let results: Vec<_> = cells.into_iter().map(|cell| (cell, summary(0.3, 0.2))).collect();
            experiment.collect(&results, 1).learning_rate
        };
        assert_eq!(rate("rounds=50"), Some(0.096));
        assert_eq!(rate("training.learning-rate=0.5"), Some(0.5));
    }

    #[test]
    fn of_several_attacks_on_a_case_the_worst_counts() {
        let mut experiment = crate::experiments::paper::find("byzfl").unwrap();
        experiment.cases.truncate(1);
        let cells = experiment.cells(&options(2, true)).unwrap();
        assert_eq!(cells.len(), 6, "three attacks, two seeds");
        let errors = [0.1, 0.2, 0.3, 0.5, 0.9, 0.0];
        let results: Vec<_> =
            cells.into_iter().zip(errors).map(|(cell, error)| (cell, summary(error, error))).collect();
        assert_eq!(experiment.collect(&results, 2).errors, [[0.9, 0.0]]);
    }

    #[test]
    fn results_go_back_into_their_places() {
        let mut experiment = crate::experiments::paper::find("table7b").unwrap();
        experiment.cases.truncate(2);
        let errors = vec![vec![0.1, 0.2], vec![0.5, 0.5]];
        let reproduction = Reproduction { experiment, errors, learning_rate: None };
        let (mean, deviation) = reproduction.statistics(0);
        assert!((mean - 0.15).abs() < 1e-12 && (deviation.unwrap() - 0.005f64.sqrt()).abs() < 1e-12);
        assert!(!reproduction.differs(0), "0.15 is near the paper's 0.14");
        assert!(reproduction.differs(1), "0.50 is not near the paper's 0.36");
    }
}
