//! Human activity recognition with smartphones (UCI HAR): 561 features of a window of 2.56 seconds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DataError, Dataset, Features, FileName, Folder, Mirror, Published, Source, Spec, Split, TableError,
};

const FEATURES: usize = 561;
const CLASSES: usize = 6;
/// The training part; the test part has fewer.
const MOST: usize = 7_352;

/// What 30 people did, by the sensors of a smartphone at their waist: 561 features, 6 activities (Anguita et al. 2013).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct UciHar {}

impl Source for UciHar {
    fn spec(&self) -> Spec {
        Spec {
            shape: vec![FEATURES],
            classes: CLASSES,
            max_examples: MOST,
            folder: "uci-har".to_owned(),
            files: ["X_train.txt", "y_train.txt", "X_test.txt", "y_test.txt"].map(FileName::from).into(),
        }
    }

    fn comes_split(&self) -> bool {
        true
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        Ok(Split { train: load_part(folder, "train")?, test: self.load_test(folder, seed)? })
    }

    fn load_test(&self, folder: &Folder, _: u64) -> Result<Dataset, DataError> {
        load_part(folder, "test")
    }

    fn published(&self) -> Option<Published> {
        Some(Published {
            licence: "CC BY 4.0",
            origin: "https://doi.org/10.24432/C54S4K",
            size: "70 MiB",
            mirror: Mirror::ByHand(
                "get https://archive.ics.uci.edu/static/public/240/human+activity+recognition+using+smartphones.zip, unpack it and \
                 the archive in it, copy X_train.txt, y_train.txt, X_test.txt and y_test.txt of its folders `train` and `test` into \
                 one, and run `hil data fetch uci-har --from FOLDER`",
            ),
            content: Vec::new(),
            download: Vec::new(),
        })
    }
}

fn load_part(folder: &Folder, part: &str) -> Result<Dataset, DataError> {
    let features = folder.read(&format!("X_{part}.txt"), |bytes| rows(bytes, FEATURES))?;
    folder.read(&format!("y_{part}.txt"), |bytes| -> Result<_, TableError> {
        let label = |(line, value): (u64, f32)| match value as u16 {
            label @ 1..=6 if f32::from(label) == value => Ok(label - 1),
            _ => Err(TableError::line(line, format!("the label is {value}, not a whole number from 1 to 6"))),
        };
        let labels = (1..).zip(rows(bytes, 1)?).map(label).collect::<Result<_, _>>()?;
        Ok(Dataset::new(vec![FEATURES], CLASSES, Features::Floats(features), labels)?)
    })
}

/// The numbers of all lines, `columns` in each, with spaces between.
fn rows(bytes: &[u8], columns: usize) -> Result<Vec<f32>, TableError> {
    let text = std::str::from_utf8(bytes).map_err(|_| TableError::Whole("it is no text".to_owned()))?;
    let mut values = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if number > MOST as u64 {
            return Err(TableError::Whole(format!(
                "more than the {MOST} lines that the data set has at most"
            )));
        }
        let before = values.len();
        for word in line.split_ascii_whitespace() {
            let value = word.parse().ok().filter(|value: &f32| value.is_finite());
            values.push(
                value.ok_or_else(|| TableError::line(number, format!("{word:?} is no finite number")))?,
            );
        }
        let found = values.len() - before;
        if found != columns {
            return Err(TableError::line(number, format!("{found} numbers, where a line has {columns}")));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use input::chosen::Chosen;

    use super::*;
    use crate::data::load;

    fn split(features: &str, labels: &str) -> Result<Split, String> {
        let datasets = tempfile::tempdir().unwrap();
        let folder = datasets.path().join("uci-har");
        fs::create_dir(&folder).unwrap();
        for part in ["train", "test"] {
            fs::write(folder.join(format!("X_{part}.txt")), features).unwrap();
            fs::write(folder.join(format!("y_{part}.txt")), labels).unwrap();
        }
        let source: Chosen<dyn Source> =
            Chosen::new("kind", "uci-har", toml::Table::new(), Arc::new(UciHar::default()), None);
        load(&source, datasets.path(), 1).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_of_numbers_are_examples_and_activities_count_from_0() {
        let line = |value: f32| format!("  {value:e}").repeat(FEATURES) + "\n";
        let features = line(0.5) + &line(-0.25);
        let read = split(&features, "5\n1\n").unwrap();
        assert_eq!((read.train.labels(), read.test.len()), (&[4, 0][..], 2));
        assert_eq!(read.train.batch(&[1]).features.to_floats(), vec![-0.25; FEATURES]);
        for (features, labels, expected) in [
            (&features[..], "5\n7\n", "y_train.txt: line 2: the label is 7, not a whole number from 1 to 6"),
            (&features, "5\n1.5\n", "the label is 1.5"),
            (&features, "5\n", "feature values for 1 labels"),
            (&(line(0.5) + "1 2 3\n"), "5\n1\n", "X_train.txt: line 2: 3 numbers, where a line has 561"),
            (
                &features.replacen("5e-1", "nan", 1),
                "5\n1\n",
                "X_train.txt: line 1: \"nan\" is no finite number",
            ),
        ] {
            let error = split(features, labels).unwrap_err();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }
}
