//! Back-gradient poisoning (Munoz-Gonzalez et al., "Towards Poisoning of Deep Learning Algorithms with Back-gradient
//! Optimization", 2017), the data-poisoning baseline of the paper's Table 5.
//!
//! # Layout
//! - This file: [`Poison::optimize`], the ascent, and [`BackGradient`], the attack in the registry.
//! - `bilevel`: what is ascended, and its gradient through the victim's training.
//! - `softmax_regression`: the victim's model and its second derivatives.
//! - `placement`: which compromised device gets what.
//!
//! The attacker knows the whole training set, as in the paper, but neither the test set nor anything of the run: it
//! poisons multi-class logistic regression whatever the devices train. Poison is computed once, before the run, and put
//! into the shards of compromised devices, which then train honestly on what they have.

mod bilevel;
mod placement;
mod softmax_regression;

use bilevel::Bilevel;
use input::unfit::{Unfit, require};
use learning::data::Dataset;
use learning::random::{Purpose, stream};
use rand::Rng;
use rand::seq::index;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::planting::{Planted, Planting};
use super::{Attack, Conditions};
pub use placement::Placement;
pub(super) use placement::place;
use softmax_regression::{Example, SoftmaxRegression, examples};

/// Poisoned examples per training example: the paper's 240 on 6,000.
const SHARE: f64 = 0.04;
/// Every so many of the known examples judge the victim; it trains on the others.
const VALIDATION_PART: usize = 6;
/// The victim: steps of full-batch gradient descent (their T), each as long as five of the paper's rounds; half of its
/// 500 rounds, for half the cost.
const VICTIM_STEPS: usize = 50;
const VICTIM_LEARNING_RATE: f64 = 0.48;
/// Steps of gradient ascent that all poisoned examples take together.
const ASCENTS: usize = 12;
/// How far an example moves in one ascent: root mean square over its pixels, which lie in [0, 1].
const ASCENT_STEP: f64 = 0.14;

/// Training examples made to harm.
#[derive(Clone, Debug, PartialEq)]
pub struct Poison {
    /// Pixels from 0 to 1, example by example.
    pub features: Vec<f32>,
    /// One label per example.
    pub labels: Vec<u16>,
}

impl Poison {
    /// Poison for models trained on `train`, whose features must be pixels: 4% as many examples. Each begins as a
    /// training example under a label that is not its own, and then climbs the validation loss of a victim.
    ///
    /// The same arguments give the same poison, whatever the number of threads. On 6,000 digits it takes less
    /// than a minute of one core, and ten times that on all 60,000 for ten times the poison.
    pub fn optimize(train: &Dataset, seed: u64) -> Poison {
        let (problem, mut poison) = begin(train, seed);
        if !poison.is_empty() {
            ascend(&problem, &mut poison);
        }
        Poison::from(&poison[..])
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl From<&[Example]> for Poison {
    fn from(examples: &[Example]) -> Self {
        let features = examples.iter().flat_map(|example| &example.features);
        Poison {
            features: features.map(|&feature| feature as f32).collect(),
            labels: examples.iter().map(|example| example.label as u16).collect(),
        }
    }
}

/// What is to be climbed, and from where: training examples, each under a label drawn from the others.
fn begin(train: &Dataset, seed: u64) -> (Bilevel, Vec<Example>) {
    let random = &mut stream(seed, Purpose::BackGradient, None, 0);
    let order = index::sample(random, train.len(), train.len());
    let order: Vec<u32> = order.iter().map(|example| example as u32).collect();
    let (validation, clean) = order.split_at(train.len() / VALIDATION_PART);
    let count = (SHARE * train.len() as f64).round() as usize;
    let mut poison = examples(&train.batch(&clean[..count]));
    let classes = train.classes();
    if classes > 1 {
        for example in &mut poison {
            example.label = (example.label + random.random_range(1..classes as u32) as usize) % classes;
        }
    }
    let problem = Bilevel {
        model: SoftmaxRegression { features: train.example_len(), classes },
        clean: examples(&train.batch(clean)),
        validation: examples(&train.batch(validation)),
        learning_rate: VICTIM_LEARNING_RATE,
        steps: VICTIM_STEPS,
    };
    (problem, poison)
}

/// Climbs the victim's validation loss within the range of pixels. Only the direction of the gradient counts: its
/// length is of the order of one example's influence, and differs by orders of magnitude between examples.
fn ascend(problem: &Bilevel, poison: &mut [Example]) {
    let step = ASCENT_STEP * (problem.model.features as f64).sqrt();
    for _ in 0..ASCENTS {
        let hypergradient = problem.hypergradient(poison);
        for (example, gradient) in poison.iter_mut().zip(hypergradient) {
            let length = gradient.iter().map(|derivative| derivative * derivative).sum::<f64>().sqrt();
            if length > 0.0 {
                for (pixel, derivative) in example.features.iter_mut().zip(gradient) {
                    *pixel = (*pixel + step * derivative / length).clamp(0.0, 1.0);
                }
            }
        }
    }
}

/// Training examples optimised to harm, in the shards of compromised devices, which then train honestly (Munoz-Gonzalez et
/// al. 2017).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BackGradient {
    /// Which compromised devices hold the examples.
    pub placement: Placement,
}

impl Attack for BackGradient {
    fn is_of_data(&self) -> bool {
        true
    }

    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        require(conditions.shape.len() > 1, "attack.kind", || {
            "back-gradient poisons pixels, and the data set has none; choose one of images".to_owned()
        })
    }

    fn plants(&self) -> bool {
        true
    }

    /// Nothing but the training data and the seed decides the examples; other runs on the same data use them again.
    fn plant(&self, planting: &Planting<'_>) -> Planted {
        let Planting { train, seed, attackers, memory, .. } = planting;
        let poison = memory.recall(&format!("back-gradient {seed}"), || Poison::optimize(train, *seed));
        let places = place(poison.len(), attackers, self.placement);
        Planted { features: poison.features.clone(), labels: poison.labels.clone(), places }
    }
}

#[cfg(test)]
mod tests {
    use learning::data::Features;

    use super::*;

    /// 300 images of 3 x 3 pixels in three classes: a bright row on a noisy ground.
    fn rows() -> Dataset {
        let random = &mut stream(3, Purpose::Faults, None, 0);
        let labels: Vec<u16> = (0..3).cycle().take(300).collect();
        let mut pixels = Vec::new();
        for &label in &labels {
            pixels.extend((0..9).map(|pixel| {
                let ground: u8 = random.random_range(0..160);
                if pixel / 3 == label { ground + 60 } else { ground }
            }));
        }
        Dataset::new(vec![3, 3], 3, Features::Bytes(pixels), labels).unwrap()
    }

    #[test]
    fn poison_harms_more_than_the_flipped_examples_it_began_as() {
        let (problem, mut poison) = begin(&rows(), 1);
        let clean = problem.victim_loss(&[]);
        let flipped = problem.victim_loss(&poison);
        ascend(&problem, &mut poison);
        let poisoned = problem.victim_loss(&poison);
        assert!(flipped > clean, "{flipped} after {clean}");
        assert!(poisoned - clean > 1.2 * (flipped - clean), "{clean}, {flipped}, {poisoned}");
    }

    #[test]
    fn it_begins_with_training_examples_under_labels_that_are_not_theirs() {
        let (problem, poison) = begin(&rows(), 1);
        for example in &poison {
            let original = problem.clean.iter().find(|clean| clean.features == example.features);
            assert_ne!(original.expect("a training example").label, example.label);
        }
    }

    #[test]
    fn there_is_one_for_25_training_examples_within_the_range_of_pixels() {
        let poison = Poison::optimize(&rows(), 1);
        assert_eq!((poison.len(), poison.features.len()), (12, 12 * 9));
        assert!(poison.features.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
        // Some have come to the end of the range, which no image of this data set reaches.
        assert!(poison.features.contains(&1.0));
    }

    #[test]
    fn the_seed_decides_and_the_number_of_threads_does_not() {
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Poison::optimize(&rows(), 1))
        };
        assert_eq!(with_threads(1), with_threads(3));
        assert_ne!(with_threads(1), Poison::optimize(&rows(), 2));
    }

    #[test]
    fn a_handful_of_examples_is_too_few_to_poison() {
        let few = rows().select(&(0..12).collect::<Vec<_>>());
        assert!(Poison::optimize(&few, 1).is_empty());
        assert!(Poison::optimize(&rows().select(&[]), 1).is_empty());
    }
}
