//! The metrics of a whole run.

use std::collections::BTreeMap;

use super::{Unit, rounds};
use crate::{RoundRecord, Summary};

/// Something that a run comes to.
pub struct RunMetric {
    /// Its key in `summary.json`, and its column in the table of a sweep.
    pub name: &'static str,
    /// Its column in tables for people.
    pub title: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// What it says, for people.
    pub help: &'static str,
    /// How it is come by.
    pub read: Source,
    /// The tables that it is a column of.
    pub tables: &'static [Table],
}

/// A table that has a line for each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// That of the report.
    Report,
    /// That of the report, if there is anything but 0 in the column.
    ReportIfAny,
    /// What `hil` prints.
    Terminal,
    /// The `results.csv` of a sweep.
    Sweep,
}

/// How a metric of a run is come by.
pub enum Source {
    /// It is a field of the summary, or follows from some.
    Field(fn(&Summary) -> Option<Value>),
    /// It is computed from one round after the other and kept in [`Summary::metrics`]: from what the rounds before came to
    /// and the record of the next, what they come to with it.
    Rounds(fn(Option<f64>, &RoundRecord) -> Option<f64>),
}

/// What a metric of a run comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number in the unit of the metric.
    Number(f64),
    /// A text.
    Text(String),
}

impl RunMetric {
    /// What the run of `summary` came to; `None` where it is unknown.
    pub fn of(&self, summary: &Summary) -> Option<Value> {
        match self.read {
            Source::Field(read) => read(summary),
            Source::Rounds(_) => summary.metrics.get(self.name).copied().map(Value::Number),
        }
    }

    /// What the run of `summary` came to, as people read it, with so many `digits` behind the point of a share; a dash
    /// where it is unknown or not finite.
    pub fn show(&self, summary: &Summary, digits: usize) -> String {
        match self.of(summary) {
            Some(Value::Number(value)) if value.is_finite() => self.unit.show(value, digits),
            Some(Value::Text(text)) => text,
            _ => "–".to_owned(),
        }
    }

    /// What the run of `summary` came to, for other programs; nothing where it is unknown.
    pub fn cell(&self, summary: &Summary) -> String {
        match self.of(summary) {
            // A tenth of a second says enough of a whole run.
            Some(Value::Number(value)) if self.unit == Unit::Seconds => format!("{value:.1}"),
            Some(Value::Number(value)) => value.to_string(),
            Some(Value::Text(text)) => text,
            None => String::new(),
        }
    }

    /// Whether it is one value for programs, and not several in one text for people.
    pub fn is_measured(&self) -> bool {
        self.tables.iter().any(|table| *table != Table::Terminal)
    }

    /// The columns of `table`, in their order.
    pub fn columns(table: Table) -> impl Iterator<Item = &'static RunMetric> {
        RUNS.iter().filter(move |metric| metric.tables.contains(&table))
    }
}

/// Enters the next round into `metrics`, which are those of [`Summary::metrics`].
pub(crate) fn enter(metrics: &mut BTreeMap<String, f64>, record: &RoundRecord) {
    for metric in RUNS {
        let Source::Rounds(with) = metric.read else { continue };
        match with(metrics.get(metric.name).copied(), record).filter(|value| value.is_finite()) {
            Some(value) => drop(metrics.insert(metric.name.to_owned(), value)),
            None => drop(metrics.remove(metric.name)),
        }
    }
}

/// The metrics of a run, in the order of the columns of every table. A new one goes to the end: tools count the columns
/// of `results.csv`.
pub const RUNS: &[RunMetric] = &[
    RunMetric {
        name: "final_test_error",
        title: "Final error",
        unit: Unit::Share,
        help: "Share of test examples that the last evaluated global model gets wrong.",
        read: Source::Field(|summary| summary.final_test_error.map(Value::Number)),
        tables: &[Table::Report, Table::Terminal, Table::Sweep],
    },
    RunMetric {
        name: "best_test_error",
        title: "Best error",
        unit: Unit::Share,
        help: "The lowest share of all evaluations.",
        read: Source::Field(|summary| summary.best_test_error.map(Value::Number)),
        tables: &[Table::Report, Table::Terminal, Table::Sweep],
    },
    RunMetric {
        name: "rounds",
        title: "Rounds",
        unit: Unit::Count,
        help: "Rounds that are recorded.",
        read: Source::Field(|summary| number(f64::from(summary.rounds))),
        tables: &[Table::Report, Table::Terminal],
    },
    RunMetric {
        name: "aggregated_rounds",
        title: "Aggregated",
        unit: Unit::Count,
        help: "Rounds that changed the model; in the others there were too few updates for the rule.",
        read: Source::Field(|summary| number(f64::from(summary.aggregated_rounds))),
        tables: &[Table::Report, Table::Terminal],
    },
    RunMetric {
        name: "updates",
        title: "Updates",
        unit: Unit::Text,
        help: "The fewest updates that were accepted in a round, and their mean.",
        read: Source::Field(|summary| {
            Some(Value::Text(format!("{} / {:.1}", summary.least_updates, summary.mean_updates)))
        }),
        tables: &[Table::Terminal],
    },
    RunMetric {
        name: "least_updates",
        title: "Least updates",
        unit: Unit::Count,
        help: "The fewest updates that were accepted in a round.",
        read: Source::Field(|summary| number(f64::from(summary.least_updates))),
        tables: &[Table::Report],
    },
    RunMetric {
        name: "mean_updates",
        title: "Mean updates",
        unit: Unit::MeanCount,
        help: "Updates that were accepted in a round, in the mean.",
        read: Source::Field(|summary| number(summary.mean_updates)),
        tables: &[Table::Report],
    },
    RunMetric {
        name: "seconds",
        title: "Time",
        unit: Unit::Seconds,
        help: "Wall time of all rounds.",
        read: Source::Field(|summary| number(summary.seconds)),
        tables: &[Table::Report, Table::Sweep],
    },
    RunMetric {
        name: "rounds_per_second",
        title: "Rounds/s",
        unit: Unit::RoundsPerSecond,
        help: "Rounds in a second of wall time.",
        read: Source::Field(|summary| number(summary.rounds_per_second)),
        tables: &[Table::Report, Table::Terminal],
    },
    RunMetric {
        name: "bytes_up",
        title: "Up",
        unit: Unit::Bytes,
        help: "From the devices to the aggregator.",
        read: Source::Field(|summary| number(summary.bytes_up as f64)),
        tables: &[Table::Report, Table::Terminal],
    },
    RunMetric {
        name: "bytes_down",
        title: "Down",
        unit: Unit::Bytes,
        help: "From the aggregator to the devices.",
        read: Source::Field(|summary| number(summary.bytes_down as f64)),
        tables: &[Table::Report, Table::Terminal],
    },
    RunMetric {
        name: "refused",
        title: "Refused",
        unit: Unit::Count,
        help: "Updates that were refused.",
        read: Source::Field(|summary| number(summary.refused.values().sum::<u64>() as f64)),
        tables: &[Table::Report, Table::Terminal, Table::Sweep],
    },
    RunMetric {
        name: "model_sha256",
        title: "Model",
        unit: Unit::Text,
        help: "SHA-256 of the values of the resulting model.",
        read: Source::Field(|summary| Some(Value::Text(summary.model_sha256.clone()))),
        tables: &[Table::Sweep],
    },
    RunMetric {
        name: "absent",
        title: "Absent",
        unit: Unit::Count,
        help: "Updates that did not come in time.",
        read: Source::Rounds(|so_far, record| Some(so_far.unwrap_or(0.0) + record.absent.len() as f64)),
        tables: &[Table::Report],
    },
    RunMetric {
        name: "removed",
        title: "Removed",
        unit: Unit::Count,
        help: "Updates that the defense kept from the rule.",
        read: Source::Rounds(|so_far, record| Some(so_far.unwrap_or(0.0) + record.removed.len() as f64)),
        tables: &[Table::ReportIfAny],
    },
    RunMetric {
        name: "worst_class_error",
        title: "Worst class",
        unit: Unit::Share,
        help: "Error of the class that the last evaluated global model gets wrong most often.",
        read: Source::Rounds(|so_far, record| match record.test_error {
            Some(_) => rounds::worst_class_error(record),
            None => so_far,
        }),
        tables: &[Table::ReportIfAny, Table::Sweep],
    },
    RunMetric {
        name: "attack_success",
        title: "Attack success",
        unit: Unit::Share,
        help: "Share of the examples of an attack with a target that get the label which it wants for them, in the last evaluation.",
        read: Source::Rounds(|so_far, record| record.attack_success.or(so_far)),
        tables: &[Table::ReportIfAny, Table::Sweep],
    },
];

#[expect(clippy::unnecessary_wraps, reason = "what a source of a field gives")]
fn number(value: f64) -> Option<Value> {
    Some(Value::Number(value))
}
