//! Examples of a device's own, with the names by which they are held against a scenario.

use std::path::Path;

use formats::{Form, Found, Reading, Wrong};
use input::npy::Numbers;

use super::own_file::own;
use super::split::Scale;
use crate::data::{DataError, Dataset};

/// Examples as somebody's file has them, before any scenario is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The examples; a label is a place among `classes`.
    pub examples: Dataset,
    /// The classes that there are, by name.
    pub classes: Vec<String>,
    /// What the features of a table are called, in order; none of anything else.
    pub columns: Vec<String>,
    /// How many rows were left out because something is missing in them, as the reading says.
    pub dropped: usize,
}

impl Imported {
    /// What is in the file `path`. Missing values become the mean of their column there, if the reading says so.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub fn read(path: &Path, reading: &Reading) -> Result<Self, DataError> {
        let read = || Form::of(path)?.read(path, reading, None).and_then(Imported::of);
        read().map_err(|cause| own(path.to_owned(), cause))
    }

    fn of(found: Found) -> Result<Self, Wrong> {
        let classes = found.labels.classes()?;
        let labels = found.labels.among(&classes)?;
        if labels.is_empty() {
            return Err("it holds no example".into());
        }
        let Found { shape, mut features, names: columns, dropped, .. } = found;
        if let Numbers::Floats(values) = &mut features
            && values.iter().any(|value| value.is_nan())
        {
            scale_of(values, &shape, &columns)?.apply(values, false);
        }
        let examples = Dataset::new(shape, classes.len(), features.into(), labels)?;
        Ok(Imported { examples, classes, columns, dropped })
    }
}

/// Mean and deviation of each column of all examples of `shape`.
pub(super) fn scale_of(values: &[f32], shape: &[usize], names: &[String]) -> Result<Scale, Wrong> {
    let width: usize = shape.iter().product();
    let all: Vec<u32> = (0..u32::try_from(values.len() / width.max(1))?).collect();
    Scale::of(values, width, shape.last().copied().unwrap_or(1), &all, names)
}
