//! The metrics of a run: what is measured, in which unit, and how it is read.
//!
//! [`ROUNDS`] lists the metrics of a round, [`RUNS`] those of a whole run. `metrics.csv`, the summary, the report, what
//! `hil` prints, exports and the tables of sweeps are made from them, so that a new metric is one entry in one of the two
//! lists and one line in `docs/metrics.md`.

mod rounds;
mod runs;

use std::fmt;

use learning::evaluation::ClassErrors;

pub use rounds::ROUNDS;
pub(super) use runs::enter;
pub use runs::{RUNS, RunMetric, Source, Table, Value};

use super::RoundRecord;
use super::report::text;

/// Something that is measured in a round.
pub struct Metric {
    /// Its column in `metrics.csv`.
    pub name: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// What it says, for people.
    pub help: &'static str,
    /// How it is read from the record of a round.
    pub read: Read,
    /// Where it is plotted.
    pub plot: Plot,
}

/// How a metric is read.
pub enum Read {
    /// It is one number a round; `None` where it was not measured.
    Round(fn(&RoundRecord) -> Option<f64>),
    /// It is a number for each class: a column for each, whose name ends with the class.
    Class(fn(ClassErrors) -> Option<f64>),
}

/// Where a metric is plotted in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// It has a figure of its own, with this title.
    Alone(&'static str),
    /// In a figure of its own with this title, if it is known of any round.
    AloneIfAny(&'static str),
    /// It is a line of the figure that counts updates.
    Updates,
    /// It is in `metrics.csv` only.
    Nowhere,
}

/// What a metric is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share, 0 to 1.
    Share,
    /// Nats of cross-entropy.
    Nats,
    /// A whole number of things.
    Count,
    /// A mean number of things.
    MeanCount,
    /// Bytes.
    Bytes,
    /// Units of 1024 bytes.
    Kibibytes,
    /// Seconds.
    Seconds,
    /// Rounds in a second.
    RoundsPerSecond,
    /// Degrees Celsius.
    Celsius,
    /// None: it is a text.
    Text,
}

impl Unit {
    /// `value` as people read it; a share has so many `digits` behind the point.
    pub fn show(self, value: f64, digits: usize) -> String {
        match self {
            Unit::Share | Unit::Nats => format!("{value:.digits$}"),
            Unit::Count | Unit::Text => value.to_string(),
            Unit::MeanCount | Unit::Celsius => format!("{value:.1}"),
            Unit::Bytes => text::bytes(value as u64),
            Unit::Kibibytes => text::bytes(1024 * value as u64),
            Unit::Seconds => text::duration(value),
            Unit::RoundsPerSecond => format!("{value:.*}", digits.saturating_sub(2)),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Share => "share, 0 to 1",
            Unit::Nats => "nats",
            Unit::Count => "number",
            Unit::MeanCount => "mean number",
            Unit::Bytes => "bytes",
            Unit::Kibibytes => "KiB",
            Unit::Seconds => "seconds",
            Unit::RoundsPerSecond => "rounds per second",
            Unit::Celsius => "°C",
            Unit::Text => "text",
        })
    }
}

impl Metric {
    /// The names of its columns, where there are so many `classes`.
    pub fn columns(&self, classes: usize) -> Vec<String> {
        match self.read {
            Read::Round(_) => vec![self.name.to_owned()],
            Read::Class(_) => (0..classes).map(|class| format!("{}_{class}", self.name)).collect(),
        }
    }

    /// What the columns hold of a round, where there are so many `classes`; a value may be not finite.
    pub fn values(&self, record: &RoundRecord, classes: usize) -> Vec<Option<f64>> {
        match self.read {
            Read::Round(read) => vec![read(record)],
            Read::Class(read) => (0..classes).map(|class| read(*record.classes.get(class)?)).collect(),
        }
    }
}

/// A column of the rounds as a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// What it is called.
    pub name: String,
    /// What its values are measured in.
    pub unit: Unit,
    /// A value for each round; `None` where it was not measured, or is not finite.
    pub values: Vec<Option<f64>>,
}

/// The rounds as the columns of a table.
pub fn columns(records: &[RoundRecord]) -> Vec<Column> {
    let classes = records.iter().map(|record| record.classes.len()).max().unwrap_or(0);
    let columns_of = |metric: &Metric| {
        let rows: Vec<Vec<_>> = records.iter().map(|record| metric.values(record, classes)).collect();
        let values = |place: usize| rows.iter().map(|row| row[place].filter(|it| it.is_finite())).collect();
        let names = metric.columns(classes).into_iter().enumerate();
        names
            .map(|(place, name)| Column { name, unit: metric.unit, values: values(place) })
            .collect::<Vec<_>>()
    };
    ROUNDS.iter().flat_map(columns_of).collect()
}

/// The rounds as a table, `metrics.csv`: one header line and one line a round. A value that was not measured, or is not
/// finite, is an empty cell.
///
/// Every cell is a number, so nothing needs quoting.
pub fn to_csv(records: &[RoundRecord]) -> String {
    let columns = columns(records);
    let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let header = columns.iter().map(|column| column.name.clone()).collect();
    let line = |row| columns.iter().map(|column| cell(column.values[row])).collect();
    let lines = std::iter::once(header).chain((0..records.len()).map(line));
    lines.fold(String::new(), |csv, line: Vec<String>| csv + &line.join(",") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    /// What tools that read `metrics.csv` have relied on since the first version.
    const FIRST: &str = "round,test_error,test_loss,train_loss,accepted,selected,absent,refused,removed,bytes_up,bytes_down,\
                         seconds,slowest_train_seconds,max_rss_kib,max_temperature,throttled,crafted_from,crafted_of,\
                         fell_back,silent,";

    #[test]
    fn a_round_is_a_line_in_the_order_of_the_header() {
        let csv = to_csv(&[examples::record(3)]);
        let (header, line) = csv.split_once('\n').unwrap();
        assert_eq!(
            header.strip_prefix(FIRST),
            Some("worst_class_error,used,class_error_0,class_error_1,class_error_2,attack_success")
        );
        assert_eq!(
            line,
            "3,0.25,0.5,0.1,7,10,1,2,2,7000,10000,0.5,1.25,6400,85.3,1,1,2,1,0,0.25,1,0.25,,0.25,\n"
        );
    }

    #[test]
    fn what_no_device_told_is_an_empty_cell() {
        let mut record = examples::record(1);
        record.classes.clear();
        record.devices.remove(0);
        assert!(to_csv(&[record.clone()]).ends_with(",0.5,0.25,,,,1,2,1,0,,1,\n"));
        record.devices.clear();
        record.attack = None;
        assert!(to_csv(&[record]).ends_with(",0.5,,,,,,,,,,1,\n"));
    }

    #[test]
    fn what_was_not_measured_or_is_not_finite_is_an_empty_cell() {
        let mut record = examples::record(1);
        record.test_error = None;
        record.test_loss = Some(f64::NAN);
        record.train_loss = Some(f32::INFINITY);
        assert!(to_csv(&[record]).contains("\n1,,,,7,"));
    }

    #[test]
    fn a_loss_has_the_digits_that_were_measured_and_no_others() {
        for loss in [0.1f32, 1.0 / 3.0, 2.302_57, 1e-7, f32::MAX, 0.0] {
            let record = RoundRecord { train_loss: Some(loss), ..examples::calm(1) };
            assert!(to_csv(&[record]).contains(&format!("\n1,0.25,0.5,{loss},10,")), "{loss}");
        }
    }

    #[test]
    fn every_metric_is_a_row_of_the_documents() {
        let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let document = std::fs::read_to_string(document).unwrap();
        let rounds = ROUNDS.iter().map(|metric| (metric.columns(1).concat(), metric.unit, metric.help));
        let is_written = |metric: &&RunMetric| {
            metric.tables.contains(&Table::Sweep) || matches!(metric.read, Source::Rounds(_))
        };
        let runs = RUNS.iter().filter(is_written);
        let runs = runs.map(|metric| (metric.name.to_owned(), metric.unit, metric.help));
        for (name, unit, help) in rounds.chain(runs) {
            let row = format!("| `{name}` | {unit} | {help} |");
            assert!(document.contains(&row), "docs/metrics.md lacks the row\n{row}");
        }
    }
}
