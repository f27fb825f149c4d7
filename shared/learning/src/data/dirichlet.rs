//! The partition by which each label is spread unevenly over the devices.

use input::unfit::{Unfit, positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dealing::{by_label, cut_by_dirichlet, finished, shuffled};
use super::{Dataset, Partition};
use crate::random::Stream;

/// The shares of devices in the examples of a label are drawn for each label from a Dirichlet distribution (Yurochkin et al. 2019).
///
/// The examples of a label are shuffled and cut where the running sum of the shares, times their number, is rounded to. Hsu, Qi
/// and Brown (2019) draw the labels of each device instead, so that all devices have as many examples; here both labels and
/// numbers of examples differ.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Dirichlet {
    /// How even the shares are: with much more than 1 they are all alike, with much less a label is with few devices.
    pub alpha: f64,
}

impl Default for Dirichlet {
    fn default() -> Self {
        Dirichlet { alpha: 0.5 }
    }
}

impl Partition for Dirichlet {
    fn check(&self) -> Result<(), Unfit> {
        positive("fleet.alpha", self.alpha)
    }

    fn deal(&self, train: &Dataset, devices: usize, random: &mut Stream) -> Vec<Vec<u32>> {
        let labels = train.labels();
        let mut parts = vec![Vec::new(); devices];
        let sorted = by_label((0..labels.len() as u32).collect(), labels);
        for examples in sorted.chunk_by(|&a, &b| labels[a as usize] == labels[b as usize]) {
            let examples = shuffled(examples.to_vec(), random);
            cut_by_dirichlet(&examples, self.alpha, &mut parts, random);
        }
        finished(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::dealing::testing::{assert_all_dealt, deal};
    use super::*;

    const CLASSES: usize = 10;

    fn labels() -> Vec<u16> {
        (0..20_000).map(|index| (index * 7 % CLASSES) as u16).collect()
    }

    /// The sum over the devices of their squared shares in a label, averaged over the labels.
    fn concentration(parts: &[Vec<u32>], labels: &[u16]) -> f64 {
        let of_label = |label: u16| -> f64 {
            let count =
                |part: &Vec<u32>| part.iter().filter(|&&index| labels[index as usize] == label).count();
            let counts: Vec<f64> = parts.iter().map(|part| count(part) as f64).collect();
            let all: f64 = counts.iter().sum();
            counts.iter().map(|count| (count / all).powi(2)).sum()
        };
        (0..CLASSES as u16).map(of_label).sum::<f64>() / CLASSES as f64
    }

    #[test]
    fn shares_have_the_moments_of_the_distribution() {
        // For m devices, the expected square of a share is (alpha + 1) / (m (m alpha + 1)).
        for (alpha, tolerance) in [(0.1, 0.15), (0.5, 0.06), (1.0, 0.04), (50.0, 0.002)] {
            let labels = labels();
            let parts = deal(&Dirichlet { alpha }, &labels, 20);
            let (found, expected) = (concentration(&parts, &labels), (alpha + 1.0) / (20.0 * alpha + 1.0));
            assert!((found - expected).abs() < tolerance, "alpha {alpha}: {found}, not {expected}");
        }
    }

    #[test]
    fn every_example_is_dealt_once_and_nobody_is_left_without() {
        for alpha in [1e-40, 1e-3, 0.5, 1e30] {
            for devices in [1, 3, 20, 150] {
                let labels: Vec<u16> = (0..200).map(|index| (index % 7) as u16).collect();
                assert_all_dealt(&deal(&Dirichlet { alpha }, &labels, devices), labels.len());
            }
        }
    }

    #[test]
    fn an_alpha_that_is_no_positive_number_is_refused() {
        for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-50] {
            assert_eq!(Dirichlet { alpha }.check().unwrap_err().0, "fleet.alpha");
        }
        assert!(Dirichlet::default().check().is_ok());
    }
}
