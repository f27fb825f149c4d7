//! Examples of the user's own that an attack is after.

use std::path::{Component, Path};

use input::npy::{self, Array};
use input::toml_file::FileError;
use input::unfit::{Unfit, require};
use learning::data::{Dataset, Features, Spec, Split};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The folder of these files, below that of the data sets.
const FOLDER: &str = "edge-cases";

/// A file with examples, in the folder `edge-cases` of the data sets, all of which are to get one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct ExampleFile {
    /// The file, in the folder `edge-cases` of the data sets: one array of numpy's, with the examples as a model sees them
    /// (pixels from 0 to 1), one after the other.
    pub file: String,
    /// The label that these examples get.
    pub target: u16,
    /// The share of the examples that nobody trains on and the attack success rate is judged by, above 0 and below 1.
    pub held_out: f64,
}

impl Default for ExampleFile {
    fn default() -> Self {
        ExampleFile { file: "edge-cases.npy".to_owned(), target: 0, held_out: 0.2 }
    }
}

impl ExampleFile {
    pub(super) fn check(&self, classes: usize) -> Result<(), Unfit> {
        let mut parts = Path::new(&self.file).components();
        let is_name = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
        require(is_name, "attack.file", || {
            format!("`{}` must be the name of a file in the folder {FOLDER} of the data sets", self.file)
        })?;
        require(usize::from(self.target) < classes, "attack.target", || {
            format!("{} is none of the classes 0 to {}", self.target, classes - 1)
        })?;
        require(self.held_out > 0.0 && self.held_out < 1.0, "attack.held-out", || {
            format!("{} must lie above 0 and below 1", self.held_out)
        })
    }

    /// The examples of the file below `datasets`, for a data set with this `spec`: those to train on, and those held out,
    /// which `seed` decides.
    ///
    /// # Errors
    /// [`FileError`] if the file cannot be read, or its examples are not such as the data set has.
    pub fn load(&self, datasets: &Path, spec: &Spec, seed: u64) -> Result<Split, FileError> {
        let path = datasets.join(FOLDER).join(&self.file);
        let examples = self.examples(npy::read(&path)?, spec);
        let examples = examples
            .map_err(|(key, message)| FileError::invalid(&path.display().to_string(), key, message))?;
        let held_out = (self.held_out * examples.len() as f64).round() as usize;
        let held_out = held_out.clamp(1, examples.len() - 1);
        Ok(Split::draw(&examples, examples.len() - held_out, seed))
    }

    fn examples(&self, array: Array, spec: &Spec) -> Result<Dataset, Unfit> {
        let Array { shape, values } = array;
        let count = shape.first().copied().unwrap_or_default();
        // No device may have more examples than the data set, its own included.
        let most = spec.max_examples / 2;
        require(shape.get(1..) == Some(&spec.shape) && (2..=most).contains(&count), "shape", || {
            let sides: Vec<_> = spec.shape.iter().map(ToString::to_string).collect();
            format!(
                "{shape:?} must be [n, {}], for n examples like those of the data set, from 2 to {most}",
                sides.join(", ")
            )
        })?;
        let is_picture = spec.shape.len() > 1;
        let unfit =
            values.iter().position(|value| !value.is_finite() || is_picture && !(0.0..=1.0).contains(value));
        require(unfit.is_none(), "values", || {
            let place = unfit.unwrap_or_default();
            let right = if is_picture { "pixels lie between 0 and 1" } else { "features are finite" };
            let example = place / (values.len() / count) + 1;
            format!("the {example}. example holds {}: {right}", values[place])
        })?;
        let labels = vec![self.target; count];
        Dataset::new(spec.shape.clone(), spec.classes, Features::Floats(values), labels)
            .map_err(|error| ("values", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn spec(shape: &[usize]) -> Spec {
        let files = Vec::new();
        Spec { shape: shape.to_vec(), classes: 3, max_examples: 40, folder: "none".to_owned(), files }
    }

    /// What is loaded of a file of this shape, the values of which are numbers from 0 on times a factor.
    fn loaded(shape: &[usize], factor: f32, spec: &Spec) -> Result<Split, String> {
        let datasets = tempfile::tempdir().unwrap();
        fs::create_dir(datasets.path().join(FOLDER)).unwrap();
        let file = ExampleFile { target: 2, ..ExampleFile::default() };
        let values = (0..shape.iter().product()).map(|value| value as f32 * factor).collect();
        npy::write(&datasets.path().join(FOLDER).join(&file.file), &Array { shape: shape.to_vec(), values })
            .unwrap();
        file.load(datasets.path(), spec, 1).map_err(|error| error.to_string())
    }

    #[test]
    fn a_share_of_the_examples_is_held_out_and_all_get_the_label() {
        let Split { train, test } = loaded(&[10, 2, 2], 0.02, &spec(&[2, 2])).unwrap();
        assert_eq!((train.len(), test.len()), (8, 2));
        assert!(train.labels().iter().chain(test.labels()).all(|label| *label == 2));
        let values = |part: &Dataset| part.batches(10).next().unwrap().features.to_floats().to_vec();
        let mut all = [values(&train), values(&test)].concat();
        all.sort_unstable_by(f32::total_cmp);
        assert_eq!(all, (0..40_u8).map(|value| f32::from(value) * 0.02).collect::<Vec<_>>());
        assert_eq!(loaded(&[2, 4], 9.0, &spec(&[4])).unwrap().test.len(), 1, "one at least of either");
    }

    #[test]
    fn a_file_with_other_examples_than_the_data_set_is_refused_by_file_and_shape() {
        let wrong = |shape: &[usize]| loaded(shape, 0.0, &spec(&[2, 2])).unwrap_err();
        for shape in [&[10, 2, 3][..], &[10, 4], &[1, 2, 2], &[0, 2, 2], &[21, 2, 2], &[4], &[]] {
            let refused = wrong(shape);
            let expected = format!("edge-cases.npy: shape: {shape:?} must be [n, 2, 2], for n examples");
            assert!(refused.contains(&expected), "{refused}");
        }
        let bytes = loaded(&[3, 2, 2], 1.0, &spec(&[2, 2])).unwrap_err();
        assert!(
            bytes.ends_with("edge-cases.npy: values: the 1. example holds 2: pixels lie between 0 and 1"),
            "{bytes}"
        );
        let nan = loaded(&[3, 4], f32::NAN, &spec(&[4])).unwrap_err();
        assert!(nan.ends_with("values: the 1. example holds NaN: features are finite"), "{nan}");
        let missing = ExampleFile::default().load(Path::new("/nowhere"), &spec(&[4]), 1).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/edge-cases/edge-cases.npy: "), "{missing}");
    }
}
