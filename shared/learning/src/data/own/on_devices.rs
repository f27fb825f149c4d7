//! Data that lie on the devices, of which the aggregator knows what its own test file says.

use std::collections::{BTreeSet, HashMap};
use std::iter::zip;
use std::path::Path;

use formats::{Column, Form, Reading, Wrong};
use input::unfit::{Unfit, require};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FOLDER;
use super::imported::{Imported, scale_of};
use super::own_file::own;
use super::split::Scale;
use crate::data::{DataError, Dataset, Features, Folder, Source, Spec, Split};

/// How many names an error lists.
const LISTED: usize = 5;

/// Data that lie on the devices, where `edge-client import` makes a shard of them; the aggregator has a test file.
///
/// Shape, columns and classes are found in the test file before a run, and are part of the scenario that devices get. A device
/// whose data are others takes no part, and says why. Features of tables are standardised.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct OnDevices {
    /// The aggregator's file of examples to test on, in the folder `own` of the data sets, or anywhere by its absolute path; or
    /// a folder with a folder of pictures (.png, .jpg) for each class.
    pub test: String,
    /// Whether each feature has its mean taken off and is divided by its standard deviation, on all devices by the same numbers:
    /// `means` and `deviations`; if nobody says it, those of tables are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standardise: Option<bool>,
    /// How the test file is read.
    #[serde(flatten)]
    pub reading: Reading,
    /// The names of the classes, by which labels become numbers from 0; if nobody says them, those that stand in the test file,
    /// in the order of numbers or of the alphabet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// What the features of a table are called, in their order; found in the test file if nobody says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Whether the features are bytes, as pixels are; found in the test file if nobody says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<bool>,
    /// What is taken off the features, one number for each column; their means in the test file if nobody says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub means: Option<Vec<f64>>,
    /// What the features are divided by, one positive number for each column; their standard deviations in the test file if
    /// nobody says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviations: Option<Vec<f64>>,
}

impl Source for OnDevices {
    fn spec(&self) -> Spec {
        Spec {
            shape: self.reading.shape.clone().unwrap_or_default(),
            classes: self.classes.as_ref().map_or(0, Vec::len),
            max_examples: u32::MAX as usize,
            folder: FOLDER.to_owned(),
            files: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), Unfit> {
        require(self.is_described(), "dataset.test", || {
            "what its examples are is not known here: `hil` finds it in the file and puts it into the scenario that it gives to \
             others (`shape`, `classes`, `columns`, `bytes`, `standardise`, `means`, `deviations`)"
                .to_owned()
        })?;
        require(self.reading.group.is_none(), "dataset.group", || {
            "what lies on a device stays there, and no partition goes by groups; leave a column out with `ignore`".to_owned()
        })?;
        let classes = self.classes.as_deref().unwrap_or_default();
        require(classes.iter().collect::<BTreeSet<_>>().len() == classes.len(), "dataset.classes", || {
            "one of them stands there twice".to_owned()
        })?;
        require(classes.len() > 1, "dataset.classes", || {
            format!("{} class is nothing to tell apart; there must be two", classes.len())
        })?;
        let columns = self.reading.shape.as_ref().and_then(|shape| shape.last()).copied().unwrap_or_default();
        let numbers = [("dataset.means", &self.means), ("dataset.deviations", &self.deviations)];
        for (key, numbers) in numbers {
            let Some(numbers) = numbers else { continue };
            require(numbers.len() == columns, key, || {
                format!("{} numbers, where an example has {columns} columns", numbers.len())
            })?;
            let fits = |number: &f64| number.is_finite() && (key == "dataset.means" || *number > 0.0);
            require(numbers.iter().all(fits), key, || "one of them cannot be".to_owned())?;
        }
        let has_scale = self.means.is_some() || self.deviations.is_some();
        require(!has_scale || self.standardise == Some(true), "dataset.means", || {
            "nothing is standardised; leave `means` and `deviations` out, or say `standardise = true`"
                .to_owned()
        })?;
        let is_vain = self.standardise == Some(true) && self.bytes == Some(true);
        require(!is_vain, "dataset.standardise", || {
            "its features are pixels, which a model sees as 0 to 1; leave it out".to_owned()
        })
    }

    fn comes_split(&self) -> bool {
        true
    }

    fn describe(&mut self, datasets: &Path) -> Result<(), DataError> {
        if self.is_described() {
            return Ok(());
        }
        let path = datasets.join(FOLDER).join(&self.test);
        let is_table = Form::of(&path).map_err(|cause| own(path.clone(), cause))?.is_table();
        let found = Imported::read(&path, &self.reading)?;
        let mut learn = || -> Result<(), Wrong> {
            self.learn(&found, is_table)?;
            // What cannot be is refused by its key, and nothing fits it.
            if self.check().is_ok() {
                self.fit(found.clone())?;
            }
            Ok(())
        };
        learn().map_err(|cause| own(path, cause))
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        let test = self.load_test(folder, seed)?;
        // There is none here: it lies on the devices.
        let train = test.select(&[]);
        Ok(Split { train, test })
    }

    fn load_test(&self, folder: &Folder, _seed: u64) -> Result<Dataset, DataError> {
        let path = folder.path().join(&self.test);
        let found = Imported::read(&path, &self.reading)?;
        self.fit(found).map_err(|misfit| own(path, format!("{misfit}: it is another file").into()))
    }

    fn on_devices(&self) -> Option<&OnDevices> {
        Some(self)
    }
}

impl OnDevices {
    fn is_described(&self) -> bool {
        let is_known = self.reading.shape.is_some() && self.classes.is_some() && self.bytes.is_some();
        let has_scale = self.means.is_some() && self.deviations.is_some();
        is_known && self.standardise.is_some_and(|standardise| !standardise || has_scale)
    }

    /// Takes from what was found in the test file whatever nobody has said.
    fn learn(&mut self, found: &Imported, is_table: bool) -> Result<(), Wrong> {
        let Imported { examples, classes, columns, .. } = found;
        self.classes.get_or_insert(classes.clone());
        if !columns.is_empty() {
            self.columns.get_or_insert(columns.clone());
        }
        self.bytes.get_or_insert(matches!(examples.features(), Features::Bytes(_)));
        let standardise = *self.standardise.get_or_insert(is_table);
        if let (true, Features::Floats(values)) = (standardise, examples.features()) {
            let Scale { means, deviations } = scale_of(values, examples.shape(), &[])?;
            self.means.get_or_insert(means);
            self.deviations.get_or_insert(deviations);
        }
        self.reading.shape = Some(examples.shape().to_vec());
        Ok(())
    }

    /// The examples that somebody has `imported`, as those of this data set.
    ///
    /// # Errors
    /// In which way they are others.
    pub fn fit(&self, imported: Imported) -> Result<Dataset, Misfit> {
        let Imported { examples, classes, columns, .. } = imported;
        let (shape, mut features, labels) = examples.into_parts();
        let Spec { shape: expected, classes: count, .. } = self.spec();
        // Values keep their order: those of a row may be a picture's.
        if shape != expected && shape != [expected.iter().product::<usize>()] {
            return Err(Misfit::Shape { shape, expected });
        }
        let bytes = matches!(features, Features::Bytes(_));
        if self.bytes.is_some_and(|expected| expected != bytes) {
            return Err(Misfit::Bytes { bytes });
        }
        let named = self.columns.as_deref().unwrap_or_default();
        if let Some(place) = zip(&columns, named).position(|(column, expected)| column != expected) {
            let (column, expected) = (columns[place].clone(), named[place].clone());
            return Err(Misfit::Column { place: place + 1, column, expected });
        }
        let known = self.classes.as_deref().unwrap_or_default();
        let places: HashMap<&str, u16> = zip(known.iter().map(String::as_str), 0..).collect();
        let place = |class: &String| {
            let unknown = || Misfit::Class { class: class.clone(), known: listed(known) };
            places.get(class.as_str()).copied().ok_or_else(unknown)
        };
        let places = classes.iter().map(place).collect::<Result<Vec<u16>, Misfit>>()?;
        let labels = labels.into_iter().map(|label| places[usize::from(label)]).collect();
        if let (Some(scale), Features::Floats(values)) = (self.scale(), &mut features) {
            scale.apply(values, true);
        }
        Dataset::new(expected, count, features, labels).map_err(|error| Misfit::Values(error.to_string()))
    }

    /// The command of `program`, a client, that makes a shard of a device's own data at `shard`.
    pub fn import_command(&self, program: &str, shard: &str) -> String {
        let label = match &self.reading.label {
            Some(Column::Name(name)) => format!(" --label {name:?}"),
            Some(Column::Number(number)) => format!(" --set label={number}"),
            None => String::new(),
        };
        format!("{program} import FILE{label} --out {shard}")
    }

    fn scale(&self) -> Option<Scale> {
        let (means, deviations) = (self.means.clone()?, self.deviations.clone()?);
        (self.standardise == Some(true)).then_some(Scale { means, deviations })
    }
}

/// In which way a device's examples are others than those of the scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// They have another shape.
    #[error(
        "an example has the shape {shape:?}, where the scenario has {expected:?}; import the same columns"
    )]
    Shape {
        /// Theirs.
        shape: Vec<usize>,
        /// That of the scenario.
        expected: Vec<usize>,
    },
    /// Their features are of another kind.
    #[error("its features are {}, where those of the scenario are not", if *bytes { "bytes" } else { "no bytes" })]
    Bytes {
        /// Whether theirs are bytes.
        bytes: bool,
    },
    /// A feature has another name.
    #[error(
        "feature {place} is {column:?}, where the scenario has {expected:?}; import the same columns in its order"
    )]
    Column {
        /// Its place, from 1.
        place: usize,
        /// Its name.
        column: String,
        /// That of the scenario.
        expected: String,
    },
    /// A class that the scenario does not have.
    #[error(
        "its class {class:?} is none of the scenario's, {known}; name it there in `classes`, or import without it"
    )]
    Class {
        /// The class.
        class: String,
        /// Those that the scenario has.
        known: String,
    },
    /// Values that become too large.
    #[error("standardised as the scenario says, its values cannot be used: {0}")]
    Values(String),
}

/// The first of many names, and how many there are.
fn listed(names: &[String]) -> String {
    let first = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED { format!("{first} and {} more", names.len() - LISTED) } else { first }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEST: &str = "heat,load,state\n1,10,idle\n3,10,run\n5,10,idle\n";

    /// The data set whose test file is `TEST`, as `hil` describes it, from these settings.
    fn described(settings: &str) -> OnDevices {
        describe(settings).unwrap()
    }

    fn describe(settings: &str) -> Result<OnDevices, DataError> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        fs::write(folder.path().join(FOLDER).join("test.csv"), TEST).unwrap();
        let settings = format!("test = \"test.csv\"\nlabel = \"state\"\n{settings}");
        let mut devices: OnDevices = toml::from_str(&settings).unwrap();
        assert!(devices.check().unwrap_err().1.contains("`hil` finds it"));
        devices.describe(folder.path())?;
        Ok(devices)
    }

    /// What a device has imported from a table of this text.
    fn imported(text: &str) -> Imported {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.csv");
        fs::write(&path, text).unwrap();
        let reading = Reading { label: Some(Column::Name("state".to_owned())), ..Reading::default() };
        Imported::read(&path, &reading).unwrap()
    }

    fn misfit(devices: &OnDevices, text: &str) -> String {
        devices.fit(imported(text)).unwrap_err().to_string()
    }

    #[test]
    fn what_the_test_file_says_is_found_in_it_and_reads_back() {
        let devices = described("");
        devices.check().unwrap();
        assert_eq!((devices.spec().shape, devices.spec().classes), (vec![2], 2));
        assert_eq!(devices.classes.as_deref().unwrap(), ["idle", "run"]);
        assert_eq!(devices.columns.as_deref().unwrap(), ["heat", "load"]);
        assert_eq!((devices.bytes, devices.standardise), (Some(false), Some(true)));
        assert_eq!(devices.means.as_deref().unwrap(), [3.0, 10.0]);
        // A column that does not vary is divided by 1.
        assert_eq!(devices.deviations.as_deref().unwrap(), [(8.0_f64 / 3.0).sqrt(), 1.0]);
        let text = toml::to_string(&devices).unwrap();
        let again: OnDevices = toml::from_str(&text).unwrap();
        assert_eq!(toml::to_string(&again).unwrap(), text);
    }

    #[test]
    fn classes_are_known_by_name_and_features_standardised_by_the_numbers_of_the_scenario() {
        let devices = described(
            "means = [1.0, 0.0]\ndeviations = [2.0, 10.0]\nclasses = [\"run\", \"stop\", \"idle\"]",
        );
        let examples = devices.fit(imported("heat,load,state\n5,20,stop\n1,0,idle\n")).unwrap();
        assert_eq!((examples.labels(), examples.classes()), (&[1, 2][..], 3));
        assert_eq!(*examples.features(), Features::Floats(vec![2.0, 2.0, 0.0, 0.0]));
        let plain = described("standardise = false");
        let examples = plain.fit(imported("heat,load,state\n5,20,run\n")).unwrap();
        assert_eq!((examples.labels(), examples.features()), (&[1][..], &Features::Floats(vec![5.0, 20.0])));
    }

    #[test]
    fn values_of_a_row_may_be_those_of_another_shape() {
        let devices = described("shape = [2, 1]");
        assert_eq!(devices.fit(imported(TEST)).unwrap().shape(), [2, 1]);
    }

    #[test]
    fn data_that_are_others_are_told_apart_by_what_they_are() {
        let devices = described("");
        assert_eq!(
            misfit(&devices, "heat,state\n1,idle\n"),
            "an example has the shape [1], where the scenario has [2]; import the same columns"
        );
        assert_eq!(
            misfit(&devices, "load,heat,state\n1,2,idle\n"),
            "feature 1 is \"load\", where the scenario has \"heat\"; import the same columns in its order"
        );
        assert_eq!(
            misfit(&devices, "heat,load,state\n1,2,idle\n1,2,gone\n"),
            "its class \"gone\" is none of the scenario's, idle, run; name it there in `classes`, or import without it"
        );
        let pixels = Dataset::new(vec![2], 1, Features::Bytes(vec![1, 2]), vec![0]).unwrap();
        let pixels =
            Imported { examples: pixels, classes: vec!["idle".to_owned()], columns: vec![], dropped: 0 };
        let error = devices.fit(pixels).unwrap_err().to_string();
        assert_eq!(error, "its features are bytes, where those of the scenario are not");
        // Divided by almost nothing, what is finite is no longer.
        let error = describe("means = [0.0, 0.0]\ndeviations = [1e-300, 1.0]").unwrap_err().to_string();
        assert!(error.contains("not a finite number"), "{error}");
    }

    #[test]
    fn a_missing_value_becomes_the_mean_of_its_column_on_the_device_if_it_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.csv");
        fs::write(&path, "heat,load,state\n1,2,idle\n?,4,run\n3,?,run\n").unwrap();
        let read = |missing: &str| {
            let settings = toml::from_str(&format!("label = \"state\"\nmissing = \"{missing}\"")).unwrap();
            Imported::read(&path, &Reading::of(settings).unwrap())
        };
        assert_eq!(
            *read("mean").unwrap().examples.features(),
            Features::Floats(vec![1.0, 2.0, 2.0, 4.0, 3.0, 3.0])
        );
        let dropped = read("drop").unwrap();
        assert_eq!((dropped.examples.len(), dropped.dropped), (1, 2));
        assert!(
            read("error").unwrap_err().to_string().contains("line 3, column 1 (heat): the value is missing")
        );
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        let error = describe("classes = [\"idle\", \"stop\"]").unwrap_err().to_string();
        assert!(
            error.contains("test.csv: its class \"run\" is none of the scenario's, idle, stop"),
            "{error}"
        );
        for (settings, key) in [
            ("means = [1.0]", "dataset.means"),
            ("deviations = [1.0, 0.0]", "dataset.deviations"),
            ("means = [nan, 0.0]", "dataset.means"),
            ("standardise = false\nmeans = [1.0, 2.0]", "dataset.means"),
            ("classes = [\"idle\", \"run\", \"run\"]", "dataset.classes"),
        ] {
            assert_eq!(described(settings).check().unwrap_err().0, key, "{settings}");
        }
    }
}
