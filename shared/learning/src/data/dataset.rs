//! Labelled examples in memory.

use rand::seq::SliceRandom as _;
use sha2::{Digest as _, Sha256};
use wire::identity::Digest;

use super::{Batch, Features, Groups};
use crate::random::{Purpose, stream};

/// No data set has more classes: a label is a number of 16 bits.
const MAX_CLASSES: usize = 65_535;

/// Labelled examples of one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    shape: Vec<usize>,
    example_len: usize,
    classes: usize,
    features: Features,
    labels: Vec<u16>,
    groups: Option<Groups>,
}

/// A data set as experiments use it.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// What the devices train on.
    pub train: Dataset,
    /// What the global model is evaluated on.
    pub test: Dataset,
}

impl Split {
    /// Draws `train` of the examples of `all` with `seed` for training; the others are for testing. Both parts keep the
    /// order of `all`.
    pub fn draw(all: &Dataset, train: usize, seed: u64) -> Self {
        let mut order: Vec<u32> = (0..all.len() as u32).collect();
        order.shuffle(&mut stream(seed, Purpose::Split, None, 0));
        let (train, test) = order.split_at_mut(train.min(all.len()));
        train.sort_unstable();
        test.sort_unstable();
        Split { train: all.select(train), test: all.select(test) }
    }

    /// Digest of both parts: names the data set, if it comes split or was split by a seed that is always the same.
    pub fn digest(&self) -> Digest {
        Digest::of(&[self.train.digest().0, self.test.digest().0].concat())
    }
}

/// Why features and labels make no data set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DatasetError {
    /// An example of this shape has no values, or more than can be counted.
    #[error("{0:?} is not the shape of an example; every side must be at least 1")]
    Shape(Vec<usize>),
    /// The number of classes is out of range.
    #[error("{0} classes; a data set has 1 to {MAX_CLASSES}")]
    Classes(usize),
    /// Features and labels are not of the same number of examples.
    #[error("{values} feature values for {examples} labels; there must be {example_len} values per label")]
    Features {
        /// Number of feature values.
        values: usize,
        /// Number of labels.
        examples: usize,
        /// Number of values of one example.
        example_len: usize,
    },
    /// More examples than an index can name.
    #[error("{0} examples; a data set has at most {max}", max = u32::MAX)]
    TooMany(usize),
    /// A label that is no class.
    #[error("example {example} (from 0) has the label {label}; labels must be below {classes}")]
    Label {
        /// Index of the example.
        example: usize,
        /// Its label.
        label: u16,
        /// Number of classes.
        classes: usize,
    },
    /// Groups of another number of examples.
    #[error("{groups} examples have groups, and there are {examples}; each must have one")]
    Groups {
        /// How many have.
        groups: usize,
        /// Number of examples.
        examples: usize,
    },
    /// A feature that is NaN or infinite.
    #[error("example {0} (from 0) has a feature that is not a finite number")]
    NonFinite(usize),
}

/// Labels as they are written: bytes where there are at most 256 classes, else 16 bits in little-endian order.
pub(super) fn label_bytes(labels: &[u16], classes: usize) -> Vec<u8> {
    if has_byte_labels(classes) {
        labels.iter().map(|label| *label as u8).collect()
    } else {
        labels.iter().flat_map(|label| label.to_le_bytes()).collect()
    }
}

/// Whether the labels of so many classes are bytes where they are written.
pub(super) fn has_byte_labels(classes: usize) -> bool {
    classes <= 1 << 8
}

impl Dataset {
    /// Joins features and labels of examples of `shape`.
    ///
    /// # Errors
    /// If `shape` has no elements, the lengths disagree, a label is not below `classes` (1 to 65,535), a
    /// feature is not finite, or there are more than `u32::MAX` examples.
    pub fn new(
        shape: Vec<usize>,
        classes: usize,
        features: Features,
        labels: Vec<u16>,
    ) -> Result<Self, DatasetError> {
        let sides = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        let Some(example_len) = sides.filter(|&len| len > 0) else {
            return Err(DatasetError::Shape(shape));
        };
        if !(1..=MAX_CLASSES).contains(&classes) {
            return Err(DatasetError::Classes(classes));
        }
        let (values, examples) = (features.len(), labels.len());
        if examples.checked_mul(example_len) != Some(values) {
            return Err(DatasetError::Features { values, examples, example_len });
        }
        if u32::try_from(examples).is_err() {
            return Err(DatasetError::TooMany(examples));
        }
        if let Some(example) = labels.iter().position(|&label| usize::from(label) >= classes) {
            return Err(DatasetError::Label { example, label: labels[example], classes });
        }
        if let Features::Floats(values) = &features
            && let Some(index) = values.iter().position(|value| !value.is_finite())
        {
            return Err(DatasetError::NonFinite(index / example_len));
        }
        Ok(Dataset { shape, example_len, classes, features, labels, groups: None })
    }

    /// The same examples, of which each is in one of `groups`.
    ///
    /// # Errors
    /// If that is not so.
    pub fn with_groups(self, groups: Groups) -> Result<Self, DatasetError> {
        if groups.of().len() != self.len() {
            return Err(DatasetError::Groups { groups: groups.of().len(), examples: self.len() });
        }
        Ok(Dataset { groups: Some(groups), ..self })
    }

    /// The groups that its examples are in, if they are.
    pub fn groups(&self) -> Option<&Groups> {
        self.groups.as_ref()
    }

    /// Shape of one example.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of values of one example.
    pub fn example_len(&self) -> usize {
        self.example_len
    }

    /// Number of classes (the paper's L).
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Digest of features (pixels, or floats in little-endian order), labels (`label_bytes`) and groups, if there are any: names
    /// the data in a record.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(self.features.to_le_bytes());
        hash.update(label_bytes(&self.labels, self.classes));
        if let Some(groups) = &self.groups {
            groups.names().iter().for_each(|name| hash.update([name.as_bytes(), &[0]].concat()));
            groups.of().iter().for_each(|group| hash.update(group.to_le_bytes()));
        }
        Digest(hash.finalize().into())
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// One label per example.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// All features.
    pub(super) fn features(&self) -> &Features {
        &self.features
    }

    /// The shape of an example, all features and all labels.
    pub(super) fn into_parts(self) -> (Vec<usize>, Features, Vec<u16>) {
        (self.shape, self.features, self.labels)
    }

    /// The examples at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`Dataset::len`].
    pub fn batch(&self, indices: &[u32]) -> Batch {
        let features = self.features_at(indices);
        let labels = indices.iter().map(|&index| u32::from(self.labels[index as usize])).collect();
        Batch { features, shape: self.shape.clone(), labels }
    }

    /// All examples in order, in batches of `size` (the last one may be smaller; 0 counts as 1).
    pub fn batches(&self, size: usize) -> impl Iterator<Item = Batch> + '_ {
        let indices: Vec<u32> = (0..self.len() as u32).collect();
        let size = size.max(1);
        (0..self.len()).step_by(size).map(move |start| {
            let end = start.saturating_add(size).min(indices.len());
            self.batch(&indices[start..end])
        })
    }

    /// A data set of its own of the examples at `indices`, in that order; panics as [`Dataset::batch`] does.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Dataset {
        Dataset {
            features: self.features_at(indices),
            labels: indices.iter().map(|&index| self.labels[index as usize]).collect(),
            groups: self.groups.as_ref().map(|groups| groups.select(indices)),
            shape: self.shape.clone(),
            ..*self
        }
    }

    /// These examples, followed by others with `features` as a batch has them: pixels are rounded to bytes. They are in no
    /// groups.
    ///
    /// # Errors
    /// As [`Dataset::new`].
    pub fn with_examples(&self, features: &[f32], labels: &[u16]) -> Result<Dataset, DatasetError> {
        let mut all = self.features.clone();
        match &mut all {
            // The cast saturates: what is no pixel becomes the nearest one.
            Features::Bytes(bytes) => {
                bytes.extend(features.iter().map(|value| (value * 255.0).round() as u8));
            }
            Features::Floats(floats) => floats.extend_from_slice(features),
        }
        Dataset::new(self.shape.clone(), self.classes, all, [&self.labels, labels].concat())
    }

    /// The stored features at `indices`, in that order; panics as [`Dataset::batch`] does.
    pub(super) fn features_at(&self, indices: &[u32]) -> Features {
        self.features.rows(self.example_len, indices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels() -> Dataset {
        Dataset::new(vec![1, 2], 3, Features::Bytes(vec![0, 255, 51, 102, 1, 2]), vec![2, 0, 1]).unwrap()
    }

    #[test]
    fn a_batch_holds_the_chosen_examples_with_pixels_between_0_and_1() {
        let batch = pixels().batch(&[1, 0]);
        assert_eq!(batch.features.to_floats(), vec![0.2, 0.4, 0.0, 1.0]);
        assert_eq!((batch.labels, batch.shape), (vec![0, 2], vec![1, 2]));
    }

    #[test]
    fn floats_are_batched_as_they_are() {
        let floats = Dataset::new(vec![1], 1, Features::Floats(vec![-3.5, 7.0]), vec![0, 0]).unwrap();
        assert_eq!(floats.batch(&[1, 0]).features, Features::Floats(vec![7.0, -3.5]));
    }

    #[test]
    fn a_selection_keeps_groups_and_they_are_part_of_the_digest() {
        let names: Vec<String> = ["a", "b"].map(ToOwned::to_owned).into();
        let groups = |of: Vec<u16>| Groups::new(names.clone(), of).unwrap();
        let grouped = pixels().with_groups(groups(vec![0, 1, 0])).unwrap();
        assert_eq!(grouped.select(&[1, 2]).groups(), Some(&groups(vec![1, 0])));
        assert_ne!(grouped.digest(), pixels().digest());
        assert_ne!(grouped.digest(), pixels().with_groups(groups(vec![0, 1, 1])).unwrap().digest());
        let odd = pixels().with_groups(groups(vec![0, 1]));
        assert_eq!(odd, Err(DatasetError::Groups { groups: 2, examples: 3 }));
        assert_eq!(Groups::new(names.clone(), vec![0, 2]), None);
    }

    #[test]
    fn batches_cover_every_example_once_and_in_order() {
        let batches: Vec<Batch> = pixels().batches(2).collect();
        assert_eq!(batches, [pixels().batch(&[0, 1]), pixels().batch(&[2])]);
        assert_eq!(pixels().batches(usize::MAX).collect::<Vec<_>>(), [pixels().batch(&[0, 1, 2])]);
        assert_eq!(pixels().batches(0).count(), 3);
    }

    #[test]
    fn a_selection_is_a_data_set_of_its_own() {
        let selected = pixels().select(&[2, 0]);
        assert_eq!(selected.batches(2).next(), Some(pixels().batch(&[2, 0])));
        assert_eq!((selected.len(), selected.classes()), (2, 3));
    }

    #[test]
    fn added_examples_follow_the_others_with_pixels_as_bytes() {
        let more = pixels().with_examples(&[0.2, 1.0, -1.0, 2.0], &[1, 2]).unwrap();
        assert_eq!(more.batch(&[0, 1, 2]), pixels().batch(&[0, 1, 2]));
        let added = more.batch(&[3, 4]);
        assert_eq!((added.features, added.labels), (Features::Bytes(vec![51, 255, 0, 255]), vec![1, 2]));
        let odd = pixels().with_examples(&[0.2], &[1]);
        assert!(matches!(odd, Err(DatasetError::Features { .. })), "{odd:?}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let new = |shape: &[usize], classes, values: usize, labels: &[u16]| {
            Dataset::new(shape.to_vec(), classes, Features::Bytes(vec![0; values]), labels.to_vec())
                .unwrap_err()
        };
        assert_eq!(new(&[2, 0], 2, 0, &[]), DatasetError::Shape(vec![2, 0]));
        assert_eq!(new(&[usize::MAX, 2], 2, 0, &[]), DatasetError::Shape(vec![usize::MAX, 2]));
        assert_eq!(new(&[2], 0, 0, &[]), DatasetError::Classes(0));
        assert_eq!(new(&[2], 65_536, 0, &[]), DatasetError::Classes(65_536));
        assert_eq!(new(&[2], 2, 3, &[0]), DatasetError::Features { values: 3, examples: 1, example_len: 2 });
        assert_eq!(new(&[1], 2, 2, &[1, 2]), DatasetError::Label { example: 1, label: 2, classes: 2 });
        let floats = Features::Floats(vec![0.0, 1.0, f32::NAN]);
        assert_eq!(Dataset::new(vec![1], 1, floats, vec![0; 3]), Err(DatasetError::NonFinite(2)));
    }
}
