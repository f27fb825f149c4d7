//! The settings of a data set in a file of the user's own.

use std::io;
use std::path::{Path, PathBuf};

use formats::{Column, Form, Found, Reading, Wrong};
use input::unfit::{Unfit, require};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FOLDER;
use super::split::{TestArrays, TestPart, TestRows, split};
use crate::data::{DataError, Folder, Source, Spec, Split};

/// A file of your own: a table (.csv, .tsv, .parquet), arrays (.npy, .npz, .safetensors, IDX), or a folder of pictures.
///
/// Shape and classes are found in the file before a run, and are part of the scenario that devices get; `hil data describe`
/// shows them. Features of tables are standardised.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct OwnFile {
    /// The file, in the folder `own` of the data sets, or anywhere by its absolute path; or a folder with a folder of pictures
    /// (.png, .jpg) for each class.
    pub file: String,
    /// Which examples are for testing: a share of them, drawn by the seed; the name of another file; `{ column, value }` of a
    /// table; or `{ file, labels }` or `{ features, label }` of arrays.
    #[serde(default)]
    pub test: TestPart,
    /// Whether each feature has its mean taken off and is divided by its standard deviation, both of the training part; if
    /// nobody says it, those of tables are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standardise: Option<bool>,
    /// How the file is read.
    #[serde(flatten)]
    pub reading: Reading,
    /// The names of the classes, by which labels become numbers from 0; if nobody says them, those that stand in the file, in
    /// the order of numbers or of the alphabet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// How many examples the file has; found there if nobody says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<usize>,
}

impl Source for OwnFile {
    fn spec(&self) -> Spec {
        Spec {
            shape: self.reading.shape.clone().unwrap_or_default(),
            classes: self.classes.as_ref().map_or(0, Vec::len),
            max_examples: self.examples.unwrap_or_default(),
            folder: FOLDER.to_owned(),
            files: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), Unfit> {
        let share = if let TestPart::Share(share) = self.test { share } else { 0.5 };
        require(share > 0.0 && share < 1.0, "dataset.test", || format!("{share} must lie between 0 and 1"))?;
        require(self.is_described(), "dataset.file", || {
            "the shape of its examples, its classes and its number of examples are not known here: `hil` finds them in the \
             file and puts them into the scenario that it gives to others (`shape`, `classes`, `examples`)"
                .to_owned()
        })?;
        let distinct: std::collections::BTreeSet<_> = self.classes.iter().flatten().collect();
        require(distinct.len() == self.classes.as_ref().map_or(0, Vec::len), "dataset.classes", || {
            "one of them stands there twice".to_owned()
        })?;
        require(distinct.len() > 1, "dataset.classes", || {
            format!("{} class is nothing to tell apart; there must be two", distinct.len())
        })
    }

    fn comes_split(&self) -> bool {
        !matches!(self.test, TestPart::Share(_))
    }

    fn describe(&mut self, datasets: &Path) -> Result<(), DataError> {
        if self.is_described() {
            return Ok(());
        }
        let path = datasets.join(FOLDER).join(&self.file);
        let mut describe = || -> Result<(), Wrong> {
            let found = self.found(&path)?;
            let classes = match &self.classes {
                Some(classes) => found.labels.among(classes).map(|_| classes.clone())?,
                None => found.labels.classes()?,
            };
            self.classes = Some(classes);
            self.examples = Some(found.len());
            self.reading.shape = Some(found.shape);
            Ok(())
        };
        describe().map_err(|cause| own(path.clone(), cause))
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        let path = folder.path().join(&self.file);
        let load = || -> Result<Split, Wrong> {
            let found = self.found(&path)?;
            let known = self.examples.unwrap_or(found.len());
            if found.len() != known {
                let text = format!(
                    "has {} examples, where the scenario says {known}: it is another file",
                    found.len()
                );
                return Err(text.into());
            }
            let elsewhere = self.elsewhere(&path)?;
            let classes = match &self.classes {
                Some(classes) => classes.clone(),
                None => found.labels.classes()?,
            };
            let standardise = self.standardise.unwrap_or(Form::of(&path)?.is_table());
            split(found, elsewhere, &self.test, &classes, standardise, seed)
        };
        load().map_err(|cause| own(path.clone(), cause))
    }
}

impl OwnFile {
    /// A file of which nothing is said but its name and how it is read.
    pub fn new(file: String, reading: Reading) -> Self {
        OwnFile { file, reading, test: TestPart::default(), standardise: None, classes: None, examples: None }
    }

    fn is_described(&self) -> bool {
        self.reading.shape.is_some() && self.classes.is_some() && self.examples.is_some()
    }

    /// What is in the file, without what is for testing in another one.
    pub(super) fn found(&self, path: &Path) -> Result<Found, Wrong> {
        let testing = match &self.test {
            TestPart::Rows(TestRows { column, value }) => Some((column, value.as_str())),
            _ => None,
        };
        Form::of(path)?.read(path, &self.reading, testing)
    }

    /// What is for testing in other files or arrays, if that is so.
    fn elsewhere(&self, path: &Path) -> Result<Option<Found>, Wrong> {
        let beside = |file: &String| path.parent().unwrap_or(Path::new("")).join(file);
        let (path, reading) = match &self.test {
            TestPart::Share(_) | TestPart::Rows(_) => return Ok(None),
            TestPart::File(file) => (beside(file), self.reading.clone()),
            TestPart::Arrays(TestArrays { file, labels, features, label }) => {
                let mut reading = self.reading.clone();
                reading.labels = labels.clone().or(reading.labels);
                reading.features = features.clone().or(reading.features);
                reading.label = label.clone().map(Column::Name).or(reading.label);
                // Only training goes by groups.
                reading.group = None;
                (file.as_ref().map_or_else(|| path.to_owned(), beside), reading)
            }
        };
        let found = Form::of(&path).and_then(|form| form.read(&path, &reading, None));
        Ok(Some(found.map_err(|error| format!("{}: {error}", path.display()))?))
    }
}

/// What is wrong with the file `path`, or that it is not there.
pub(super) fn own(path: PathBuf, cause: Wrong) -> DataError {
    match cause.downcast::<io::Error>() {
        Ok(error) if error.kind() == io::ErrorKind::NotFound => DataError::NoSuchFile { path },
        Ok(cause) => DataError::Unreadable { path, cause: *cause },
        Err(cause) => DataError::Own { path, cause },
    }
}
