//! Examples as a file has them, whatever its form.

use crate::Wrong;
use crate::labels::Labels;
use input::npy::Numbers;

/// Examples as a file has them.
#[derive(Clone, Debug)]
pub struct Found {
    /// The shape of one.
    pub shape: Vec<usize>,
    /// Their features, one after the other; those that are missing are NaN.
    pub features: Numbers,
    /// Their labels.
    pub labels: Labels,
    /// The names of their groups, if they are in any.
    pub groups: Option<Labels>,
    /// What the features are called, in a table.
    pub names: Vec<String>,
    /// Which are for testing, if a column says so.
    pub for_testing: Option<Vec<bool>>,
    /// How many rows are left out because something is missing in them.
    pub dropped: usize,
}

impl Found {
    /// Of features of `shape`, the first side of which counts the examples, and as many labels.
    ///
    /// # Errors
    /// If there are others than that.
    pub(crate) fn new(shape: &[usize], features: Numbers, labels: Labels) -> Result<Self, Wrong> {
        let [examples, example @ ..] = shape else {
            return Err("the features are a single number, not one or more for each example".into());
        };
        if *examples != labels.len() {
            let counts = format!("{examples} examples of shape {example:?}, but {} labels", labels.len());
            return Err(counts.into());
        }
        // One number for each example; one channel for each pixel.
        let example = match example {
            [] => &[1],
            [height, width, 1] => &[*height, *width][..],
            _ => example,
        };
        Ok(Found {
            shape: example.to_vec(),
            features,
            labels,
            groups: None,
            names: Vec::new(),
            for_testing: None,
            dropped: 0,
        })
    }

    /// The same examples in `groups`, as many as there are examples, if there are groups.
    ///
    /// # Errors
    /// If there are more or fewer.
    pub(crate) fn with_groups(self, groups: Option<Labels>) -> Result<Self, Wrong> {
        if let Some(groups) = groups.as_ref().filter(|groups| groups.len() != self.len()) {
            return Err(format!("{} examples, but {} groups", self.len(), groups.len()).into());
        }
        Ok(Found { groups, ..self })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The same values as examples of another `shape`.
    ///
    /// # Errors
    /// If that takes more or fewer values.
    pub(crate) fn shaped(self, shape: Option<&[usize]>) -> Result<Self, Wrong> {
        let Some(shape) = shape else { return Ok(self) };
        let size = |sides: &[usize]| sides.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
        if size(shape) != size(&self.shape) {
            let text = format!(
                "an example has the shape {:?}, whose values do not make the shape {shape:?}",
                self.shape
            );
            return Err(text.into());
        }
        Ok(Found { shape: shape.to_vec(), ..self })
    }
}
