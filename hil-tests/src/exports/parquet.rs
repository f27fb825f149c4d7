//! Tables of runs, rounds and devices in Parquet files.

use std::collections::HashMap;

use record::metrics::{self, ROUNDS, RUNS, RunMetric, Unit};
use record::{RoundRecord, State, Summary};
use toml::Value;

use super::participation::{self, DEVICES};
use super::run::{ExportedRun, plain};
use super::staging::Staging;
use super::table::{Cell, Column, Kind, TableFile};
use super::{Export, Format, Outcome, Time};

/// The entry of the list of formats.
pub const FORMAT: Format = Format {
    name: "parquet",
    about: "Tables for pandas, Polars, DuckDB or R: runs.parquet, rounds.parquet, devices.parquet and confusion.parquet",
    begin: |runs, staging| Ok(Box::new(Tables::begin(runs, staging)?)),
};

/// The four tables. One row of a run stands for all of it, so that those are kept to the end, when their columns are known.
struct Tables {
    /// How many classes the run with the most of them has.
    classes: usize,
    runs: Vec<Vec<(Column, Cell)>>,
    runs_file: Option<std::fs::File>,
    rounds: TableFile,
    devices: TableFile,
    confusion: TableFile,
}

impl Tables {
    fn begin(runs: &[ExportedRun], staging: &mut Staging) -> anyhow::Result<Self> {
        let classes = runs.iter().map(ExportedRun::classes).max().unwrap_or_default();
        let rounds = ROUNDS.iter().flat_map(|metric| {
            let columns = metric.columns(classes).into_iter();
            columns.map(|name| column(&name, kind_of(metric.unit), &metric.unit.to_string(), metric.help))
        });
        let time = column("time", Kind::Time, "", "When the round was over.");
        let round = column("round", Kind::Integer, "number", "The round, from 1 on.");
        let devices = DEVICES.iter().map(|it| column(it.name, it.kind, it.unit, it.help));
        let class = column("class", Kind::Integer, "", "The class that test examples are of.");
        let taken_for =
            column("taken_for", Kind::Integer, "", "The class that the last model takes them for.");
        let examples = column("examples", Kind::Integer, "number", "How many these are.");
        let table = |file, columns: Vec<Column>| TableFile::new(file, [whose().to_vec(), columns].concat());
        Ok(Tables {
            classes,
            runs: Vec::new(),
            runs_file: Some(staging.file("runs.parquet")?),
            rounds: table(staging.file("rounds.parquet")?, [time].into_iter().chain(rounds).collect())?,
            devices: table(staging.file("devices.parquet")?, [round].into_iter().chain(devices).collect())?,
            confusion: table(staging.file("confusion.parquet")?, vec![class, taken_for, examples])?,
        })
    }
}

impl Export for Tables {
    fn begin(&mut self, _: &ExportedRun, _: &mut Staging) -> anyhow::Result<()> {
        Ok(())
    }

    fn round(&mut self, run: &ExportedRun, record: &RoundRecord, time: Time) -> anyhow::Result<()> {
        let values = ROUNDS.iter().flat_map(|metric| {
            let cell = |value: Option<f64>| cell(metric.unit, value);
            metric.values(record, self.classes).into_iter().map(cell).collect::<Vec<_>>()
        });
        self.rounds.row(cells_of(run).into_iter().chain([time.milliseconds().into()]).chain(values))?;
        for device in participation::of(run, record) {
            let values = DEVICES.iter().map(|metric| (metric.read)(&device));
            self.devices.row(cells_of(run).into_iter().chain([record.round.into()]).chain(values))?;
        }
        Ok(())
    }

    fn end(&mut self, run: &ExportedRun, outcome: &Outcome, _: &mut Staging) -> anyhow::Result<()> {
        for (class, row) in (0u32..).zip(&outcome.summary.confusion) {
            for (taken_for, examples) in (0u32..).zip(row) {
                let cells = [class.into(), taken_for.into(), (*examples).into()];
                self.confusion.row(cells_of(run).into_iter().chain(cells))?;
            }
        }
        self.runs.push(row_of(run, outcome));
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        let (columns, rows) = united(std::mem::take(&mut self.runs));
        if let Some(file) = self.runs_file.take() {
            let mut runs = TableFile::new(file, columns)?;
            rows.into_iter().try_for_each(|row| runs.row(row))?;
            runs.close()?;
        }
        self.rounds.close()?;
        self.devices.close()?;
        Ok(self.confusion.close()?)
    }
}

fn column(name: &str, kind: Kind, unit: &str, help: &str) -> Column {
    Column { name: name.to_owned(), kind, unit: unit.to_owned(), help: help.to_owned() }
}

/// The columns by which rows of different tables are joined.
fn whose() -> [Column; 2] {
    [
        column("run", Kind::Text, "", "The run's id, which it keeps for ever."),
        column("run_name", Kind::Text, "", "What the run is called in this export."),
    ]
}

/// What stands in them.
fn cells_of(run: &ExportedRun) -> [Cell; 2] {
    [run.id().into(), run.name.as_str().into()]
}

fn kind_of(unit: Unit) -> Kind {
    match unit {
        Unit::Count | Unit::Bytes | Unit::Kibibytes => Kind::Integer,
        Unit::Text => Kind::Text,
        Unit::Share
        | Unit::Nats
        | Unit::MeanCount
        | Unit::Seconds
        | Unit::RoundsPerSecond
        | Unit::Celsius => Kind::Float,
    }
}

/// A number in `unit`.
fn cell(unit: Unit, value: Option<f64>) -> Cell {
    let value = value.filter(|value| value.is_finite());
    match kind_of(unit) {
        Kind::Integer => value.map(|value| value as i64).into(),
        _ => value.into(),
    }
}

/// What a run came to, and the keys of its scenario.
fn row_of(run: &ExportedRun, outcome: &Outcome) -> Vec<(Column, Cell)> {
    let (manifest, summary) = (run.stored.manifest(), &outcome.summary);
    let text = |name: &str, help: &str, value: String| (column(name, Kind::Text, "", help), value.into());
    let mut row: Vec<_> = whose().into_iter().zip(cells_of(run)).collect();
    row.push(text("directory", "Where the run is.", run.stored.path().display().to_string()));
    row.push(text("bench", "Where the devices ran.", summary.bench.clone()));
    let state = match outcome.state {
        State::Finished => "finished",
        State::InProgress => "in progress",
        State::Interrupted => "interrupted",
    };
    row.push(text("state", "How far the run is.", state.to_owned()));
    let created = column("created", Kind::Time, "", "When the run was made.");
    row.push((created, run.created().milliseconds().into()));
    for metric in RUNS.iter().filter(|metric| metric.is_measured()) {
        let kind = kind_of(metric.unit);
        row.push((
            column(metric.name, kind, &metric.unit.to_string(), metric.help),
            measured(metric, summary),
        ));
    }
    for (reason, count) in &summary.refused {
        let help = "Updates that were refused for this reason; unknown where there were none.";
        let name = format!("refused.{reason}");
        row.push((column(&name, Kind::Integer, "number", help), (*count).into()));
    }
    if let Some(attack) = summary.attack {
        for (name, count, help) in [
            ("attack.rounds", attack.rounds, "Rounds for which models were to be crafted."),
            (
                "attack.as_meant",
                attack.as_meant,
                "Those in which the attack took place as the scenario means it.",
            ),
            ("attack.gave_up", attack.gave_up, "Those in which it found nothing better than honest updates."),
            ("attack.fell_back", attack.fell_back, "Honest updates in place of crafted ones."),
            ("attack.silent", attack.silent, "Updates that compromised devices did not send."),
        ] {
            row.push((column(name, Kind::Integer, "number", help), count.into()));
        }
    }
    for (name, version) in &manifest.versions {
        row.push(text(&format!("version.{name}"), "What computed the run.", version.clone()));
    }
    row.extend(run.keys.iter().map(|(key, value)| {
        let (kind, cell) = typed(value);
        (column(&format!("scenario.{key}"), kind, "", "A key of the resolved scenario."), cell)
    }));
    row
}

fn measured(metric: &RunMetric, summary: &Summary) -> Cell {
    match metric.of(summary) {
        Some(metrics::Value::Number(value)) => cell(metric.unit, Some(value)),
        Some(metrics::Value::Text(text)) => text.into(),
        None => Cell::Unknown,
    }
}

/// The value of a key of a scenario.
fn typed(value: &Value) -> (Kind, Cell) {
    match value {
        Value::Integer(value) => (Kind::Integer, (*value).into()),
        Value::Float(value) => (Kind::Float, (*value).into()),
        Value::Boolean(value) => (Kind::Bool, (*value).into()),
        other => (Kind::Text, plain(other).into()),
    }
}

/// All columns that any of `rows` has, in the order in which they come, and the rows with a cell for each. Where runs have
/// different kinds of values of a key, all are numbers with a fraction or, if that cannot be, texts.
fn united(rows: Vec<Vec<(Column, Cell)>>) -> (Vec<Column>, Vec<Vec<Cell>>) {
    let mut columns: Vec<Column> = Vec::new();
    let mut places = HashMap::new();
    for (column, _) in rows.iter().flatten() {
        let place = *places.entry(column.name.clone()).or_insert_with(|| {
            columns.push(column.clone());
            columns.len() - 1
        });
        let known = &mut columns[place].kind;
        *known = match (*known, column.kind) {
            (one, other) if one == other => one,
            (Kind::Integer | Kind::Float, Kind::Integer | Kind::Float) => Kind::Float,
            _ => Kind::Text,
        };
    }
    let row = |row: Vec<(Column, Cell)>| {
        let mut cells = vec![Cell::Unknown; columns.len()];
        for (column, cell) in row {
            let place = places[&column.name];
            cells[place] = if columns[place].kind == Kind::Text { as_text(cell) } else { cell };
        }
        cells
    };
    let rows = rows.into_iter().map(row).collect();
    (columns, rows)
}

fn as_text(cell: Cell) -> Cell {
    match cell {
        Cell::Integer(value) => value.to_string().into(),
        Cell::Float(value) => value.to_string().into(),
        Cell::Bool(value) => value.to_string().into(),
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_different_columns_are_united_with_a_kind_that_holds_all() {
        let cell = |name: &str, value: Value| {
            let (kind, cell) = typed(&value);
            (column(name, kind, "", ""), cell)
        };
        let (columns, rows) = united(vec![
            vec![cell("a", 1.into()), cell("b", 2.into()), cell("c", 3.into())],
            vec![cell("b", 0.5.into()), cell("c", "all".into()), cell("d", true.into())],
        ]);
        let kinds: Vec<_> = columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
        let expected = [("a", Kind::Integer), ("b", Kind::Float), ("c", Kind::Text), ("d", Kind::Bool)];
        assert_eq!(kinds, expected);
        assert_eq!(rows[0], [1i64.into(), 2i64.into(), "3".into(), Cell::Unknown]);
        assert_eq!(rows[1], [Cell::Unknown, 0.5.into(), "all".into(), true.into()]);
    }

    #[test]
    fn whole_numbers_of_things_are_whole_numbers() {
        assert_eq!(cell(Unit::Bytes, Some(1024.0)), Cell::Integer(1024));
        assert_eq!(cell(Unit::Share, Some(0.25)), Cell::Float(0.25));
        assert_eq!(cell(Unit::Nats, Some(f64::NAN)), Cell::Unknown);
    }
}
