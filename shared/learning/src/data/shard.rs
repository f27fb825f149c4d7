//! What one device trains on.

use std::sync::Arc;

use rand::seq::{SliceRandom as _, index};

use super::{Batch, Dataset};
use crate::random::Stream;

/// The examples of one device: a view of a data set, which all devices simulated on one machine share.
#[derive(Clone, Debug, PartialEq)]
pub struct Shard {
    dataset: Arc<Dataset>,
    indices: Vec<u32>,
    /// One label per index: the data set's own, until [`Shard::with_labels`] changes them.
    labels: Vec<u16>,
}

impl Shard {
    /// The examples of `dataset` at `indices`.
    ///
    /// # Panics
    /// If an index is not below the length of `dataset`.
    pub fn new(dataset: Arc<Dataset>, indices: Vec<u32>) -> Self {
        let labels = indices.iter().map(|&index| dataset.labels()[index as usize]).collect();
        Shard { dataset, indices, labels }
    }

    /// All examples of `dataset`.
    pub fn whole(dataset: Arc<Dataset>) -> Self {
        let indices = (0..dataset.len() as u32).collect();
        Shard::new(dataset, indices)
    }

    /// The data set it is a view of.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Which examples of the data set, in order.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// One label per example.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The same examples with each label replaced by `relabel` of it, in order, as label flipping does. Neither
    /// features nor the data set are copied or changed.
    ///
    /// # Panics
    /// If `relabel` gives a label that is no class.
    #[must_use]
    pub fn with_labels(mut self, mut relabel: impl FnMut(u16) -> u16) -> Self {
        for label in &mut self.labels {
            *label = relabel(*label);
            assert!(usize::from(*label) < self.dataset.classes(), "{label} is no class");
        }
        self
    }

    /// The examples at these places, with their labels.
    ///
    /// # Panics
    /// If a place is not below the length.
    #[must_use]
    pub fn select(&self, places: &[usize]) -> Self {
        Shard {
            dataset: self.dataset.clone(),
            indices: places.iter().map(|place| self.indices[*place]).collect(),
            labels: places.iter().map(|place| self.labels[*place]).collect(),
        }
    }

    /// All examples, in order.
    pub fn all(&self) -> Batch {
        self.batch(self.at(0..self.len()))
    }

    /// [`Shard::draw`], with the features of the examples.
    pub fn minibatch(&self, size: usize, random: &mut Stream) -> Batch {
        self.batch(self.draw(size, random))
    }

    /// What was drawn, with the features of the examples.
    pub fn batch(&self, Drawn { indices, labels }: Drawn) -> Batch {
        Batch { labels, ..self.dataset.batch(&indices) }
    }

    /// `size` examples drawn without replacement (paper section 2.1); the whole shard, in order and without
    /// a draw, if it has no more than that.
    pub fn draw(&self, size: usize, random: &mut Stream) -> Drawn {
        if size >= self.len() {
            return self.at(0..self.len());
        }
        self.at(index::sample(random, self.len(), size))
    }

    /// All examples in random order, `size` at a time; what is left in the end is a minibatch as well.
    pub fn pass(&self, size: usize, random: &mut Stream) -> Vec<Drawn> {
        let mut positions: Vec<u32> = (0..self.len() as u32).collect();
        positions.shuffle(random);
        positions.chunks(size).map(|own| self.at(own.iter().map(|&position| position as usize))).collect()
    }

    /// The examples at these positions.
    fn at(&self, positions: impl IntoIterator<Item = usize>) -> Drawn {
        let example = |position: usize| (self.indices[position], u32::from(self.labels[position]));
        let (indices, labels) = positions.into_iter().map(example).unzip();
        Drawn { indices, labels }
    }
}

/// Examples of a data set that were drawn from a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Which of the data set.
    pub indices: Vec<u32>,
    /// One class index per example: those of the shard.
    pub labels: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Features;
    use crate::random::{Purpose, stream};

    /// Ten examples of one pixel, of which the shard has the odd ones; the label of example i is i mod 3.
    fn odd_examples() -> Shard {
        let labels = (0..10).map(|example| example % 3).collect();
        let dataset = Dataset::new(vec![1], 3, Features::Bytes((0..10).collect()), labels).unwrap();
        Shard::new(Arc::new(dataset), vec![1, 3, 5, 7, 9])
    }

    fn examples(batch: &Batch) -> Vec<u32> {
        batch.features.to_floats().iter().map(|pixel| (pixel * 255.0).round() as u32).collect()
    }

    #[test]
    fn a_minibatch_has_distinct_examples_of_the_shard_with_their_labels() {
        for round in 0..50 {
            let batch = odd_examples().minibatch(3, &mut stream(1, Purpose::Batches, None, round));
            let mut examples = examples(&batch);
            assert_eq!(batch.labels, examples.iter().map(|example| example % 3).collect::<Vec<_>>());
            assert!(examples.iter().all(|example| example % 2 == 1));
            examples.sort_unstable();
            examples.dedup();
            assert_eq!(examples.len(), 3);
        }
    }

    #[test]
    fn every_example_is_drawn_equally_often() {
        let random = &mut stream(1, Purpose::Batches, None, 0);
        let mut counts = [0; 10];
        for _ in 0..5000 {
            for example in examples(&odd_examples().minibatch(2, random)) {
                counts[example as usize] += 1;
            }
        }
        // Mean 2000, standard deviation 35.
        assert!(counts.iter().skip(1).step_by(2).all(|count| (1825..2175).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_minibatch_larger_than_the_shard_is_the_whole_shard() {
        let random = &mut stream(1, Purpose::Batches, None, 0);
        for size in [5, 6, usize::MAX] {
            assert_eq!(examples(&odd_examples().minibatch(size, random)), [1, 3, 5, 7, 9]);
        }
        assert_eq!(*random, stream(1, Purpose::Batches, None, 0), "nothing may be drawn");
    }

    #[test]
    fn some_of_the_examples_keep_the_labels_that_they_have_in_the_shard() {
        let some = odd_examples().with_labels(|label| 2 - label).select(&[4, 1]);
        let batch = some.all();
        assert_eq!((examples(&batch), batch.labels), (vec![9, 3], vec![2, 2]));
        assert_eq!((some.indices(), some.labels()), (&[9, 3][..], &[2, 2][..]));
    }

    #[test]
    fn flipped_labels_reach_batches_but_not_the_data_set() {
        let flipped = odd_examples().with_labels(|label| 2 - label);
        assert_eq!(flipped.labels(), [1, 2, 0, 1, 2]);
        let batch = flipped.minibatch(5, &mut stream(1, Purpose::Batches, None, 0));
        assert_eq!(batch.labels, [1, 2, 0, 1, 2]);
        assert_eq!(flipped.dataset(), odd_examples().dataset());
    }
}
