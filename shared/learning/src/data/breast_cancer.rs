//! The table of the Breast Cancer Wisconsin (Diagnostic) data set.

use std::ops::Range;

use input::toml_file;
use rand::seq::SliceRandom as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DataError, Dataset, DatasetError, Features, FileName, Folder, Mirror, Published, Source, Spec, Split,
    TableError,
};
use crate::random::{Purpose, stream};
use formats::gzip::unpacked;

const FEATURES: usize = 30;
const CLASSES: usize = 2;
const FILE: &str = "wdbc.csv";
const ROWS: usize = 569;
const TRAIN: usize = 455;
/// The table is a tenth of that.
const MOST_BYTES: u64 = 1 << 20;

/// Breast Cancer Wisconsin (Diagnostic), 30 features.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct BreastCancer {}

impl Source for BreastCancer {
    fn spec(&self) -> Spec {
        Spec {
            shape: vec![FEATURES],
            classes: CLASSES,
            max_examples: TRAIN,
            folder: "breast-cancer-wisconsin".to_owned(),
            // As the University of California and Kaggle call it.
            files: vec![FileName { name: FILE.into(), others: &["wdbc.data", "data.csv"] }],
        }
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        folder.read(FILE, |table| read_breast_cancer(table, seed))
    }

    fn published(&self) -> Option<Published> {
        Some(Published {
            licence: "CC BY 4.0",
            origin: "https://doi.org/10.24432/C5DW2B",
            size: "118 KiB",
            mirror: Mirror::ByHand(
                "it comes with the repository, in datasets/breast-cancer-wisconsin; give that folder to --from, \
                 or its parent to --datasets",
            ),
            content: vec!["fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed"],
            download: Vec::new(),
        })
    }
}

/// How the table is written, by whom it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// scikit-learn: a header of its own, then 30 features and 0 (malignant) or 1 (benign).
    ScikitLearn,
    /// The University of California: a number, M or B, and 30 features, without a header.
    Uci,
    /// Kaggle: the same with a header, whose last name is empty.
    Kaggle,
}

struct Row {
    features: [f64; FEATURES],
    label: u16,
}

/// Reads `wdbc.csv`, or the same table as UCI or Kaggle give it, plain or gzipped, and splits it with `seed` into 455 training and 114
/// test examples (paper section 4.1). Class 1 is malignant, 0 benign; `wdbc.csv` has it the other way round.
///
/// Each feature is standardised: the features differ by five orders of magnitude, with which one learning
/// rate for all weights cannot cope. Mean and (population) standard deviation are those of the training
/// part, because nothing of the test part may be known in training. A constant feature becomes 0.
///
/// # Errors
/// If `table` is not that file; the error names the line.
pub fn read_breast_cancer(table: &[u8], seed: u64) -> Result<Split, TableError> {
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
    Dataset::new(vec![FEATURES], CLASSES, Features::Floats(features), labels)
}

fn read_rows(table: &[u8]) -> Result<Vec<Row>, TableError> {
    let table = unpacked(table, MOST_BYTES)?;
    let encoding = |error| TableError::Whole(format!("{error}; save it as UTF-8"));
    let table = toml_file::text(table.into_owned()).map_err(encoding)?;
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(table.as_bytes());
    let mut records = reader.records();
    let first = records.next().transpose()?.unwrap_or_default();
    let form = Form::of(&first)?;
    let first_row = (form == Form::Uci).then_some(Ok(first));
    let rows = first_row.into_iter().chain(records).map(|record| read_row(form, &record?));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    if rows.len() != ROWS {
        return Err(TableError::Whole(format!("{} rows, where the table has {ROWS}", rows.len())));
    }
    Ok(rows)
}

impl Form {
    /// By the first line of a table.
    fn of(first: &csv::StringRecord) -> Result<Self, TableError> {
        let begins =
            |start: &[&str]| first.iter().zip(start).filter(|(field, known)| field == *known).count();
        if first == ["569", "30", "malignant", "benign"][..] {
            Ok(Form::ScikitLearn)
        } else if begins(&["id", "diagnosis", "radius_mean"]) == 3 {
            Ok(Form::Kaggle)
        } else if first.len() == FEATURES + 2 && matches!(&first[1], "M" | "B") {
            Ok(Form::Uci)
        } else {
            let start: String = first.iter().collect::<Vec<_>>().join(",").chars().take(80).collect();
            Err(TableError::Whole(format!(
                "line 1 is {start:?}, not the header `569,30,malignant,benign` of wdbc.csv, a row of UCI's wdbc.data, nor \
                 the header of Kaggle's data.csv"
            )))
        }
    }

    /// The fields of a row that are features, and the one that is the label.
    fn fields(self) -> (Range<usize>, usize) {
        match self {
            Form::ScikitLearn => (0..FEATURES, FEATURES),
            Form::Uci | Form::Kaggle => (2..FEATURES + 2, 1),
        }
    }

    fn label(self, text: &str, line: u64) -> Result<u16, TableError> {
        match (self, text) {
            (Form::ScikitLearn, "0") | (Form::Uci | Form::Kaggle, "M") => Ok(1),
            (Form::ScikitLearn, "1") | (Form::Uci | Form::Kaggle, "B") => Ok(0),
            (Form::ScikitLearn, _) => Err(("0 (malignant) or 1 (benign)", text)),
            _ => Err(("M (malignant) or B (benign)", text)),
        }
        .map_err(|(labels, text)| TableError::line(line, format!("the label is {text:?}, not {labels}")))
    }
}

/// Larger values would make a variance infinite, and with it every value of their feature zero.
fn fits_f32(value: f64) -> bool {
    (value as f32).is_finite()
}

fn read_row(form: Form, record: &csv::StringRecord) -> Result<Row, TableError> {
    let line = record.position().map_or(0, csv::Position::line);
    let (fields, label) = form.fields();
    let (needed, actual) = (fields.end.max(label + 1), record.len());
    // Kaggle's rows may end in the comma that its header ends in.
    let ends_empty = form == Form::Kaggle && actual == needed + 1 && record[needed].is_empty();
    if actual != needed && !ends_empty {
        let needed = "a row has 30 features, a label, and in other forms than wdbc.csv a number";
        return Err(TableError::line(line, format!("{actual} fields, where {needed}")));
    }
    let mut features = [0.0; FEATURES];
    for (feature, column) in features.iter_mut().zip(fields) {
        let text = record[column].trim();
        *feature = text
            .parse()
            .ok()
            .filter(|&value| fits_f32(value))
            .ok_or_else(|| format!("field {} is {text:?}, not a finite number of f32's range", column + 1))
            .map_err(|cause| TableError::line(line, cause))?;
    }
    Ok(Row { features, label: form.label(&record[label], line)? })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TABLE: &str = include_str!("../../../../datasets/breast-cancer-wisconsin/wdbc.csv");

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

    /// The table as UCI gives it.
    fn uci() -> String {
        let row = |(number, line): (usize, &str)| {
            let (features, label) = line.rsplit_once(',').unwrap();
            format!("{number},{},{features}\n", if label == "0" { "M" } else { "B" })
        };
        TABLE.lines().skip(1).enumerate().map(row).collect()
    }

    #[test]
    fn the_forms_of_uci_and_kaggle_are_the_same_table_plain_or_gzipped() {
        let names: Vec<String> = (0..29).map(|feature| format!("\"feature_{feature}\"")).collect();
        let header = format!("\"id\",\"diagnosis\",\"radius_mean\",{},\r\n", names.join(","));
        let kaggle = header.clone() + &uci().replace('\n', "\r\n");
        let with_commas = format!("\u{feff}{header}{}", uci().replace('\n', ",\n"));
        let mut gzipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzipped.write_all(TABLE.as_bytes()).unwrap();
        let expected = read_breast_cancer(TABLE.as_bytes(), 1).unwrap();
        for table in
            [uci().into_bytes(), kaggle.into_bytes(), with_commas.into_bytes(), gzipped.finish().unwrap()]
        {
            assert!(read_breast_cancer(&table, 1).unwrap() == expected);
        }
        let error =
            read_breast_cancer(uci().replacen(",B,", ",X,", 1).as_bytes(), 1).unwrap_err().to_string();
        assert!(error.ends_with("the label is \"X\", not M (malignant) or B (benign)"), "{error}");
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
            "line 3: 32 fields, where a row has 30 features, a label, and in other forms than wdbc.csv a number"
        );
        assert_eq!(
            error("\n20.57,17.77", "\n20.57,NaN"),
            "line 3: field 2 is \"NaN\", not a finite number of f32's range"
        );
        let label = error("0.1189,0\n", "0.1189,2\n");
        assert_eq!(label, "line 2: the label is \"2\", not 0 (malignant) or 1 (benign)");
        assert!(error("569,", "568,").starts_with("line 1 is \"568,30,malignant,benign\""));
        let first_row = TABLE.lines().nth(1).unwrap();
        assert!(error(&format!("{first_row}\n"), "").starts_with("568 rows"));
        assert!(error("17.99", "1e39").starts_with("line 2: field 1 is \"1e39\", not a finite number"));
        assert!(read_breast_cancer(b"", 1).is_err());
        assert!(read_breast_cancer(b"569,30,malignant,benign\n\xff", 1).is_err());
    }
}
