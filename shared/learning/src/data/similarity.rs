//! The partition by which devices are alike to a degree.

use input::unfit::{Unfit, require};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dealing::{by_label, cut_evenly, finished, shuffled};
use super::{Dataset, Partition};
use crate::random::Stream;

/// A share of the examples is dealt at random, the rest sorted by label and cut, each in equal parts (Karimireddy et al. 2020).
///
/// The random share is drawn from all examples, ⌊γ n⌋ of n, and the devices take contiguous parts of the sorted rest in their
/// order: that of device 0 begins with label 0.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Similarity {
    /// The share that is dealt at random (γ): with 1 the devices are alike, with 0 each has few labels.
    pub similarity: f64,
}

impl Default for Similarity {
    fn default() -> Self {
        Similarity { similarity: 0.5 }
    }
}

impl Partition for Similarity {
    fn check(&self) -> Result<(), Unfit> {
        require((0.0..=1.0).contains(&self.similarity), "fleet.similarity", || {
            format!("{} must lie between 0 and 1", self.similarity)
        })
    }

    fn deal(&self, train: &Dataset, devices: usize, random: &mut Stream) -> Vec<Vec<u32>> {
        let labels = train.labels();
        let mut alike = shuffled((0..labels.len() as u32).collect(), random);
        let rest = by_label(alike.split_off((self.similarity * labels.len() as f64) as usize), labels);
        let parts = cut_evenly(&alike, devices).zip(cut_evenly(&rest, devices));
        finished(parts.map(|(alike, own)| [alike, own].concat()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::dealing::testing::{assert_all_dealt, deal};
    use super::*;

    /// For each device, how many examples it has of each of ten labels.
    fn counts(similarity: f64) -> Vec<[usize; 10]> {
        let labels: Vec<u16> = (0..10_000).map(|index| (index * 7 % 10) as u16).collect();
        let parts = deal(&Similarity { similarity }, &labels, 10);
        assert_all_dealt(&parts, labels.len());
        let count = |part: &Vec<u32>| {
            let mut counts = [0; 10];
            part.iter().for_each(|&index| counts[usize::from(labels[index as usize])] += 1);
            counts
        };
        parts.iter().map(count).collect()
    }

    #[test]
    fn without_similarity_each_device_has_the_next_labels() {
        for (device, counts) in counts(0.0).iter().enumerate() {
            assert_eq!(counts[device], 1000);
        }
    }

    #[test]
    fn the_share_that_is_dealt_at_random_has_every_label() {
        for (similarity, others) in [(1.0, 100), (0.5, 50)] {
            for (device, counts) in counts(similarity).iter().enumerate() {
                assert_eq!(counts.iter().sum::<usize>(), 1000);
                for (label, &count) in counts.iter().enumerate() {
                    // Five standard deviations of at most 10, and at the edges of a label its last examples.
                    let is_own = label == device && similarity < 1.0;
                    assert!(is_own || count.abs_diff(others) <= 75, "{count} of {label}, not {others}");
                }
            }
        }
    }

    #[test]
    fn nobody_is_left_without_an_example() {
        for similarity in [0.0, 0.3, 1.0] {
            assert_all_dealt(&deal(&Similarity { similarity }, &[1, 0, 1, 0, 1], 5), 5);
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for similarity in [-0.1, 1.1, f64::NAN] {
            assert_eq!(Similarity { similarity }.check().unwrap_err().0, "fleet.similarity");
        }
    }
}
