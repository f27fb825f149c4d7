//! Examples that a model does not come to terms with are dropped.

use input::unfit::{Unfit, require};
use learning::data::Shard;
use learning::random::Stream;
use rand::seq::index;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::small_model::SmallModel;
use super::{DefenseError, Stage};

/// Steps of gradient descent in which a small model is fitted.
const STEPS: usize = 50;
/// Fits at most: the sets of examples may follow each other in a circle, since a fit is not quite the best one.
const FITS: usize = 50;

/// Devices drop the share of their own examples that fit the others least, before the run (TRIM; Jagielski et al. 2018).
///
/// A small model is fitted to examples that are drawn; those of least loss are kept, and it is fitted to them, until the
/// same are kept again. At the aggregator the stage does nothing, and what a device says of its shard stays as it is. Where
/// the examples of a device are wrong all alike, such as those of a class under the label of another, they look right.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Trim {
    /// The share of its examples that a device drops, 0 to below 1.
    pub share: f64,
}

impl Default for Trim {
    fn default() -> Self {
        Trim { share: 0.1 }
    }
}

impl Stage for Trim {
    fn check(&self) -> Result<(), Unfit> {
        require((0.0..1.0).contains(&self.share), "defense.share", || {
            format!("{} must be at least 0 and below 1", self.share)
        })
    }

    fn sanitise(&self, shard: Shard, random: &mut Stream) -> Result<Shard, DefenseError> {
        let available = shard.len();
        let count = available - ((self.share * available as f64).round() as usize).min(available - 1);
        if count == available {
            return Ok(shard);
        }
        let small = SmallModel::of(&shard)?;
        let mut kept = index::sample(random, available, count).into_vec();
        kept.sort_unstable();
        for _ in 0..FITS {
            let losses = small.losses(&small.fit(&kept, STEPS)?)?;
            let mut order: Vec<usize> = (0..available).collect();
            order.sort_by(|a, b| losses[*a].total_cmp(&losses[*b]));
            order.truncate(count);
            order.sort_unstable();
            let stands = order == kept;
            kept = order;
            if stands {
                break;
            }
        }
        Ok(shard.select(&kept))
    }
}

#[cfg(test)]
mod tests {
    use learning::random::{Purpose, stream};

    use super::super::testing::{dropped, mislabelled, refused};
    use super::*;

    #[test]
    fn examples_of_wrong_labels_are_those_that_are_dropped() {
        let (wrong, right) = dropped(&mislabelled(), &Trim { share: 1.0 / 12.0 });
        assert_eq!((wrong, right), (10, 0));
        assert_eq!(dropped(&mislabelled(), &Trim { share: 0.0 }), (0, 0));
    }

    #[test]
    fn one_example_at_least_is_kept() {
        let random = &mut stream(1, Purpose::Sanitising, None, 0);
        assert_eq!(Trim { share: 0.999 }.sanitise(mislabelled(), random).unwrap().len(), 1);
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        for setting in ["share=1.0", "share=-0.1", "share=nan"] {
            assert!(refused("trim", setting).contains("defense.share: "), "{setting}");
        }
    }
}
