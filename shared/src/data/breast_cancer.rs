//! The table of the Breast Cancer Wisconsin (Diagnostic) data set.

use rand::seq::SliceRandom as _;

use super::{Dataset, DatasetError, DatasetName, Features, Split};
use crate::random::{Purpose, stream};

const FEATURES: usize = 30;
const ROWS: usize = 569;
const TRAIN: usize = 455;
const HEADER: [&str; 4] = ["569", "30", "malignant", "benign"];

/// Why a text is not the table that was expected.
#[derive(Debug, thiserror::Error)]
pub enum BreastCancerError {
    /// Not a CSV text in UTF-8.
    #[error("not a table of comma-separated values: {0}")]
    Csv(#[from] csv::Error),
    /// The first line is not the known header.
    #[error("line 1: the header is {0:?}, not `569,30,malignant,benign`")]
    Header(String),
    /// A row with too few or too many fields.
    #[error("line {line}: {actual} fields, where a row has {FEATURES} features and a label")]
    Fields {
        /// Line number, from 1.
        line: u64,
        /// Number of fields.
        actual: usize,
    },
    /// A feature that is not a finite number of `f32`'s range.
    #[error("line {line}: feature {column} is {text:?}, not a finite number of f32's range")]
    Number {
        /// Line number, from 1.
        line: u64,
        /// Number of the field, from 1.
        column: usize,
        /// What stands there.
        text: String,
    },
    /// A label that is neither 0 nor 1.
    #[error("line {line}: the label is {text:?}, not 0 (malignant) or 1 (benign)")]
    Label {
        /// Line number, from 1.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// Rows missing or added.
    #[error("{0} rows, where the header declares {ROWS}")]
    Rows(usize),
    /// Values that overflow when they are standardised.
    #[error("the table makes no data set: {0}")]
    Dataset(#[from] DatasetError),
}

struct Row {
    features: [f64; FEATURES],
    label: u8,
}

/// Reads `wdbc.csv` (30 features and a label per row) and splits it with `seed` into 455 training and 114
/// test examples (paper section 4.1). Class 1 is malignant, 0 benign; the file has it the other way round.
///
/// Each feature is standardised: the features differ by five orders of magnitude, with which one learning
/// rate for all weights cannot cope. Mean and (population) standard deviation are those of the training
/// part, because nothing of the test part may be known in training. A constant feature becomes 0.
///
/// # Errors
/// If `table` is not that file; the error names the line.
pub fn read_breast_cancer(table: &[u8], seed: u64) -> Result<Split, BreastCancerError> {
    let rows = read_rows(table)?;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.shuffle(&mut stream(seed, Purpose::Split, None, 0));
    let (train, test) = order.split_at_mut(TRAIN);
    train.sort_unstable();
    test.sort_unstable();
    let scales = std::array::from_fn(|column| Scale::of(train.iter().map(|&i| rows[i].features[column])));
    Ok(Split { train: dataset(&rows, train, &scales)?, test: dataset(&rows, test, &scales)? })
}

/// Mean and standard deviation of one feature.
struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    fn of(values: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let count = values.len() as f64;
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Scale { mean, deviation: if variance > 0.0 { variance.sqrt() } else { 1.0 } }
    }
}

fn dataset(rows: &[Row], chosen: &[usize], scales: &[Scale; FEATURES]) -> Result<Dataset, DatasetError> {
    let standardise = |(value, scale): (&f64, &Scale)| ((value - scale.mean) / scale.deviation) as f32;
    let features =
        chosen.iter().flat_map(|&i| rows[i].features.iter().zip(scales).map(standardise)).collect();
    let labels = chosen.iter().map(|&i| rows[i].label).collect();
    let classes = DatasetName::BreastCancer.spec().classes;
    Dataset::new(vec![FEATURES], classes, Features::Floats(features), labels)
}

fn read_rows(table: &[u8]) -> Result<Vec<Row>, BreastCancerError> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).quoting(false).from_reader(table);
    let mut records = reader.records();
    let header = records.next().transpose()?.unwrap_or_default();
    if header != HEADER[..] {
        return Err(BreastCancerError::Header(header.iter().collect::<Vec<_>>().join(",")));
    }
    let rows = records.map(|record| read_row(&record?)).collect::<Result<Vec<_>, _>>()?;
    if rows.len() == ROWS { Ok(rows) } else { Err(BreastCancerError::Rows(rows.len())) }
}

/// Larger values would make a variance infinite, and with it every value of their feature zero.
fn fits_f32(value: f64) -> bool {
    (value as f32).is_finite()
}

fn read_row(record: &csv::StringRecord) -> Result<Row, BreastCancerError> {
    let line = record.position().map_or(0, csv::Position::line);
    if record.len() != FEATURES + 1 {
        return Err(BreastCancerError::Fields { line, actual: record.len() });
    }
    let mut features = [0.0; FEATURES];
    for (index, (feature, text)) in features.iter_mut().zip(record).enumerate() {
        *feature = text
            .parse()
            .ok()
            .filter(|&value| fits_f32(value))
            .ok_or_else(|| BreastCancerError::Number { line, column: index + 1, text: text.to_owned() })?;
    }
    let label = match &record[FEATURES] {
        "0" => 1,
        "1" => 0,
        text => return Err(BreastCancerError::Label { line, text: text.to_owned() }),
    };
    Ok(Row { features, label })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = include_str!("../../../datasets/breast-cancer-wisconsin/wdbc.csv");

    /// The error for the table with the first `from` replaced by `to`.
    fn error(from: &str, to: &str) -> String {
        read_breast_cancer(TABLE.replacen(from, to, 1).as_bytes(), 1).unwrap_err().to_string()
    }

    #[test]
    fn the_table_has_212_malignant_and_357_benign_rows() {
        let split = read_breast_cancer(TABLE.as_bytes(), 1).unwrap();
        assert_eq!((split.train.len(), split.test.len()), (455, 114));
        let labels = [split.train.labels(), split.test.labels()].concat();
        let malignant: usize = labels.iter().map(|&label| usize::from(label)).sum();
        assert_eq!((malignant, labels.len() - malignant), (212, 357));
    }

    #[test]
    fn the_seed_decides_the_split() {
        let read = |seed| read_breast_cancer(TABLE.as_bytes(), seed).unwrap();
        assert_eq!(read(1), read(1));
        assert_ne!(read(1).test.labels(), read(2).test.labels());
    }

    #[test]
    fn both_parts_are_standardised_with_the_figures_of_the_training_part() {
        let split = read_breast_cancer(TABLE.as_bytes(), 3).unwrap();
        let scales = |part: &Dataset| -> Vec<Scale> {
            let batch = part.batches(usize::MAX).next().unwrap();
            let features = batch.features.to_floats();
            let column = |start| features.iter().skip(start).step_by(FEATURES).map(|&value| f64::from(value));
            (0..FEATURES).map(|start| Scale::of(column(start).collect::<Vec<_>>().into_iter())).collect()
        };
        assert!(scales(&split.train).iter().all(|s| s.mean.abs() < 1e-5 && (s.deviation - 1.0).abs() < 1e-5));
        let test = scales(&split.test);
        assert!(test.iter().any(|s| s.mean.abs() > 0.02), "the test part has figures of its own");
        assert!(test.iter().all(|s| s.mean.abs() < 0.5), "the test part is shifted like the training part");
    }

    #[test]
    fn errors_name_the_line_and_what_stands_there() {
        assert_eq!(
            error("\n20.57,", "\n20.57,1,"),
            "line 3: 32 fields, where a row has 30 features and a label"
        );
        assert_eq!(
            error("\n20.57,17.77", "\n20.57,NaN"),
            "line 3: feature 2 is \"NaN\", not a finite number of f32's range"
        );
        let label = error("0.1189,0\n", "0.1189,2\n");
        assert_eq!(label, "line 2: the label is \"2\", not 0 (malignant) or 1 (benign)");
        assert!(error("569,", "568,").starts_with("line 1: the header is \"568,30,malignant,benign\""));
        let first_row = TABLE.lines().nth(1).unwrap();
        assert!(error(&format!("{first_row}\n"), "").starts_with("568 rows"));
        assert!(error("17.99", "1e39").starts_with("line 2: feature 1 is \"1e39\", not a finite number"));
        assert!(read_breast_cancer(b"", 1).is_err());
        assert!(read_breast_cancer(b"569,30,malignant,benign\n\xff", 1).is_err());
    }
}
