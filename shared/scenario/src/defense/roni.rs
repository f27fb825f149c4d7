//! Reject on negative impact: examples that make small models worse are dropped.

use std::iter::zip;

use input::unfit::{Unfit, at_least_one, require};
use learning::data::{Batch, Shard};
use learning::random::Stream;
use rand::seq::index;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DefenseError, Stage};

/// Steps of gradient descent in which a small model is fitted.
const STEPS: usize = 20;

/// Devices drop those of their own examples whose presence makes small models worse, before the run (RONI; Nelson et al. 2008).
///
/// In each trial, examples are drawn to train on and others to test on. Each of the rest joins the former in turn, and its
/// impact is by how many more of the latter a model is then wrong. The paper draws from examples that are known to be good,
/// which no device has. At the aggregator the stage does nothing, and what a device says of its shard stays as it is. Where the
/// examples of a device are wrong all alike, such as those of a class under the label of another, they look right.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Roni {
    /// Number of trials; the paper has 5.
    pub trials: u32,
    /// How many examples a small model is trained on.
    pub train_examples: u32,
    /// How many examples it is tested on.
    pub test_examples: u32,
    /// How many errors more, on average over the trials, an example may cause and is kept.
    pub tolerance: f64,
}

impl Default for Roni {
    fn default() -> Self {
        Roni { trials: 10, train_examples: 20, test_examples: 50, tolerance: 0.5 }
    }
}

impl Stage for Roni {
    fn check(&self) -> Result<(), Unfit> {
        at_least_one("defense.trials", self.trials)?;
        at_least_one("defense.train-examples", self.train_examples)?;
        at_least_one("defense.test-examples", self.test_examples)?;
        require(self.tolerance >= 0.0 && self.tolerance.is_finite(), "defense.tolerance", || {
            format!("{} must be a number that is not negative", self.tolerance)
        })
    }

    fn sanitise(&self, shard: Shard, random: &mut Stream) -> Result<Shard, DefenseError> {
        let (available, train) = (shard.len(), self.train_examples as usize);
        let wanted = train.saturating_add(self.test_examples as usize);
        if wanted >= available {
            return Err(DefenseError::ShardTooSmall { wanted, available });
        }
        let mut impacts = vec![(0.0, 0_u32); available];
        for _ in 0..self.trials {
            let order = index::sample(random, available, available).into_vec();
            for (place, impact) in impacts_of(&shard, &order, train, wanted) {
                impacts[place].0 += impact;
                impacts[place].1 += 1;
            }
        }
        let is_harmful = |&(sum, trials): &(f64, u32)| sum > self.tolerance * f64::from(trials);
        let kept: Vec<usize> = (0..available).filter(|place| !is_harmful(&impacts[*place])).collect();
        if kept.is_empty() {
            return Err(DefenseError::NothingLeft { available });
        }
        Ok(shard.select(&kept))
    }
}

/// By how many more errors a model does worse with each example from `wanted` on in `order`, where it trains on the first
/// `train` and is tested on those between.
fn impacts_of(shard: &Shard, order: &[usize], train: usize, wanted: usize) -> Vec<(usize, f64)> {
    let (Batch { features, labels, .. }, width) = (shard.select(order).all(), shard.dataset().example_len());
    let (features, classes) = (features.to_floats(), shard.dataset().classes());
    let features: Vec<&[f32]> = features.chunks_exact(width).collect();
    // One more for the bias.
    let product = |a: usize, b: usize| {
        1.0 + zip(features[a], features[b]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    let errors = |products: &[Vec<f64>], trained: &[usize]| {
        // The one that joins the trained is the last.
        let row = |place: usize| &products[place.min(wanted)];
        let example = |place: usize| Example { products: row(place), label: labels[place] as usize };
        let trained: Vec<_> = trained.iter().map(|place| example(*place)).collect();
        errors(&trained, (train..wanted).map(example), classes) as f64
    };
    let trained: Vec<usize> = (0..train).collect();
    let known: Vec<Vec<f64>> =
        (0..wanted).map(|a| trained.iter().map(|b| product(a, *b)).collect()).collect();
    let without = errors(&known, &trained);
    let impact = |place: usize| {
        let mut products = known.clone();
        products.iter_mut().enumerate().for_each(|(other, products)| products.push(product(other, place)));
        products.push(trained.iter().chain([&place]).map(|other| product(place, *other)).collect());
        (order[place], errors(&products, &[&trained[..], &[place]].concat()) - without)
    };
    (wanted..order.len()).into_par_iter().map(impact).collect()
}

/// An example, as a model sees it whose weights are combinations of the examples that it trains on.
struct Example<'a> {
    /// The inner products with these.
    products: &'a [f64],
    label: usize,
}

/// How many of the examples `tested` logistic regression takes for another class after some steps of gradient descent from
/// zeros on all those that are `trained`.
fn errors<'a>(trained: &[Example<'_>], tested: impl Iterator<Item = Example<'a>>, classes: usize) -> usize {
    let squares: f64 = trained.iter().enumerate().map(|(place, example)| example.products[place]).sum();
    // The loss bends by half the mean squared length of an example at most.
    let step = 2.0 / squares;
    let mut shares = vec![vec![0.0; classes]; trained.len()];
    let scores = |example: &Example<'_>, shares: &[Vec<f64>]| {
        let mut scores = vec![0.0; classes];
        for (product, shares) in zip(example.products, shares) {
            zip(&mut scores, shares).for_each(|(score, share)| *score += product * share);
        }
        scores
    };
    for _ in 0..STEPS {
        let all: Vec<_> = trained.iter().map(|example| scores(example, &shares)).collect();
        for ((example, scores), shares) in zip(zip(trained, all), &mut shares) {
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exponentials: Vec<f64> = scores.iter().map(|score| libm::exp(score - largest)).collect();
            let sum: f64 = exponentials.iter().sum();
            zip(shares.iter_mut(), exponentials).for_each(|(share, it)| *share -= step * it / sum);
            shares[example.label] += step;
        }
    }
    let is_wrong = |example: &Example<'_>| {
        let scores = scores(example, &shares);
        (0..classes).any(|class| {
            scores[class] > scores[example.label]
                || (scores[class] >= scores[example.label] && class < example.label)
        })
    };
    tested.filter(is_wrong).count()
}

#[cfg(test)]
mod tests {
    use learning::random::{Purpose, stream};

    use super::super::testing::{dropped, mislabelled, refused};
    use super::*;

    #[test]
    fn examples_of_wrong_labels_are_dropped_and_most_others_kept() {
        let shard = mislabelled();
        let (wrong, right) = dropped(&shard, &Roni::default());
        assert!(wrong >= 8 && right <= 8, "{wrong} of 10 wrong ones, {right} of 110 right ones");
    }

    #[test]
    fn a_shard_that_leaves_nothing_to_judge_is_refused_with_the_numbers() {
        let (shard, random) = (mislabelled(), &mut stream(1, Purpose::Sanitising, None, 0));
        let roni = Roni { train_examples: 60, test_examples: 60, ..Roni::default() };
        let refused = roni.sanitise(shard.clone(), random).unwrap_err().to_string();
        assert!(refused.contains("= 120") && refused.contains("has 120"), "{refused}");
        assert!(Roni { train_examples: 59, ..roni }.sanitise(shard, random).is_ok());
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for setting in ["trials=0", "train-examples=0", "test-examples=0", "tolerance=-1.0"] {
            let (key, _) = setting.split_once('=').unwrap();
            assert!(refused("roni", setting).contains(&format!("defense.{key}: ")), "{setting}");
        }
    }
}
