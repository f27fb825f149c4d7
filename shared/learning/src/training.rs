//! Local training: what an honest device does in a round.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Batch, Shard};
use crate::models::{Model, ModelError};
use crate::random::Stream;

/// `[training]`: local training (paper section 2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Step size of SGD on the mean loss of a batch. The default is what the authors' 0.003 on a loss summed
    /// over a batch of 32 amounts to.
    pub learning_rate: f64,
    /// Examples in a minibatch.
    pub batch_size: u32,
    /// SGD steps in a round (the paper's R); with 0 a device sends the model back as it came.
    pub local_steps: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { learning_rate: 0.096, batch_size: 32, local_steps: 1 }
    }
}

/// What local training ends in.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The local model, d values; not finite if training diverged.
    pub parameters: Arc<[f32]>,
    /// Mean over the steps of the minibatch loss before each; 0 if there was none.
    pub loss: f32,
}

/// What a device trains with in a round.
pub struct Training<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// The global model that the round starts from, d values.
    pub global: Arc<[f32]>,
    /// What the device trains on.
    pub shard: &'a Shard,
    /// Rate, batch size and number of steps.
    pub settings: &'a Settings,
}

impl Training<'_> {
    /// What an honest device does: [`train`] on minibatches of its shard, which are drawn from `random`.
    ///
    /// # Errors
    /// As [`train`].
    pub fn honestly(&self, random: &mut Stream) -> Result<Trained, ModelError> {
        self.at_rate(self.settings.learning_rate, random)
    }

    /// The same with another learning rate; with one below 0, each step goes up the gradient.
    ///
    /// # Errors
    /// As [`train`].
    pub fn at_rate(&self, learning_rate: f64, random: &mut Stream) -> Result<Trained, ModelError> {
        let Settings { batch_size, local_steps, .. } = *self.settings;
        let minibatch = |_step| self.shard.minibatch(batch_size as usize, random);
        train(self.model, self.global.clone(), learning_rate as f32, local_steps as usize, minibatch)
    }
}

/// Takes `steps` steps of stochastic gradient descent from the model `global` (d values): step i goes
/// against the gradient of the mean loss of `minibatch(i)`, `learning_rate` times its length
/// (paper, section 2.1).
///
/// Draws nothing by itself: the same minibatches give the same bits.
///
/// # Errors
/// If `global` or a minibatch does not fit the model; see [`Model::loss_and_gradient`].
pub fn train(
    model: &dyn Model,
    global: Arc<[f32]>,
    learning_rate: f32,
    steps: usize,
    mut minibatch: impl FnMut(usize) -> Batch,
) -> Result<Trained, ModelError> {
    let mut parameters = global;
    let mut total = 0.0;
    for step in 0..steps {
        let (loss, gradient) = model.loss_and_gradient(&parameters, &minibatch(step))?;
        let descend = |(parameter, derivative): (&f32, &f32)| parameter - learning_rate * derivative;
        parameters = parameters.iter().zip(&gradient).map(descend).collect();
        total += f64::from(loss);
    }
    Ok(Trained { parameters, loss: (total / steps.max(1) as f64) as f32 })
}

/// A loss so many times the median of its round, or of 1 if that is more, is not believed.
const LOUDEST: f64 = 100.0;

/// The mean of the losses that devices report in a round, and how many were left out of it: what is no number, negative,
/// or more than 100 times the (lower) median of the others, or than 100 if that is more. One device could make a mean of
/// claims anything. In 64 bits, where no sum of what devices claim overflows.
pub fn mean_loss(losses: impl IntoIterator<Item = f32>) -> (Option<f32>, u32) {
    let losses: Vec<f64> = losses.into_iter().map(f64::from).collect();
    // Rounding takes a cross-entropy of nearly nothing just below it.
    let mut numbers: Vec<f64> =
        losses.iter().copied().filter(|loss| loss.is_finite() && *loss > -1e-3).collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let median = numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or_default();
    let believed: Vec<f64> =
        losses.iter().copied().filter(|loss| *loss > -1e-3 && *loss <= LOUDEST * median.max(1.0)).collect();
    let mean = (!believed.is_empty()).then(|| (believed.iter().sum::<f64>() / believed.len() as f64) as f32);
    (mean, (losses.len() - believed.len()) as u32)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::data::Features;
    use crate::evaluation::evaluate;
    use crate::models::{Dnn, LogisticRegression, build};
    use crate::random::{Purpose, Stream, stream};

    fn noise(values: usize) -> Vec<f32> {
        let mut random = Stream::seed_from_u64(7);
        (0..values).map(|_| random.random_range(0.0..1.0)).collect()
    }

    /// Three classes, told apart by which of three features is the large one.
    fn separable() -> Batch {
        let labels: Vec<u32> = (0..3).cycle().take(30).collect();
        let mut features = noise(90);
        for (row, &label) in features.chunks_exact_mut(3).zip(&labels) {
            row[label as usize] += 2.0;
        }
        Batch { features: Features::Floats(features), shape: vec![3], labels }
    }

    #[test]
    fn a_loss_that_cannot_be_is_left_out_of_the_mean_and_counted() {
        assert_eq!(mean_loss([0.5, 1.5]), (Some(1.0), 0));
        assert_eq!(mean_loss([0.5, 1.5, 1e38, f32::NAN, f32::INFINITY, -7.0]), (Some(1.0), 4));
        assert_eq!(mean_loss([90.0, 0.001, 0.002]).1, 0, "a poor device among good ones");
        assert_eq!(mean_loss([1e6, 2e6, 3e6]), (Some(2e6), 0), "a run that diverges");
        assert_eq!(mean_loss([f32::NAN]), (None, 1));
        assert_eq!(mean_loss([]), (None, 0));
    }

    #[test]
    fn a_step_goes_against_the_gradient() {
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let global = noise(12);
        let (loss, gradient) = model.loss_and_gradient(&global, &separable()).unwrap();
        let trained = train(model.as_ref(), global.clone().into(), 0.25, 1, |_| separable()).unwrap();
        let expected: Vec<f32> = global.iter().zip(gradient).map(|(v, g)| v - 0.25 * g).collect();
        assert_eq!(trained, Trained { parameters: expected.into(), loss });
    }

    #[test]
    fn steps_follow_each_other_and_their_losses_are_averaged() {
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let mut drawn = Vec::new();
        let both = train(model.as_ref(), noise(12).into(), 0.25, 2, |step| {
            drawn.push(step);
            separable()
        });
        let first = train(model.as_ref(), noise(12).into(), 0.25, 1, |_| separable()).unwrap();
        let second = train(model.as_ref(), first.parameters, 0.25, 1, |_| separable()).unwrap();
        let both = both.unwrap();
        assert_eq!(both.parameters, second.parameters);
        assert!((both.loss - f32::midpoint(first.loss, second.loss)).abs() < 1e-6);
        assert!(second.loss < first.loss);
        assert_eq!(drawn, [0, 1]);
    }

    #[test]
    fn no_step_leaves_the_model_as_it_is() {
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let trained = train(model.as_ref(), noise(12).into(), 0.25, 0, |_| separable()).unwrap();
        assert_eq!(trained, Trained { parameters: noise(12).into(), loss: 0.0 });
    }

    #[test]
    fn logistic_regression_learns_a_separable_problem() {
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let trained = train(model.as_ref(), [0.0; 12].into(), 1.0, 300, |_| separable()).unwrap();
        let evaluation = evaluate(model.as_ref(), &trained.parameters, [separable()]).unwrap();
        assert_eq!(evaluation.errors, 0);
        assert!(evaluation.loss < 0.05, "{evaluation:?}");
    }

    #[test]
    fn the_dnn_learns_eight_random_images_by_heart() {
        let images = || Batch {
            features: Features::Floats(noise(8 * 12 * 13)),
            shape: vec![12, 13],
            labels: vec![0, 1, 2, 3, 3, 2, 1, 0],
        };
        let model = build(&Dnn {}, &[12, 13], 4).unwrap();
        let initial = model.initial(&mut stream(3, Purpose::Weights, None, 0));
        let trained = train(model.as_ref(), initial.values().into(), 0.1, 300, |_| images()).unwrap();
        let evaluation = evaluate(model.as_ref(), &trained.parameters, [images()]).unwrap();
        assert_eq!(evaluation.errors, 0, "{evaluation:?}");
        assert!(evaluation.loss < 0.05, "{evaluation:?}");
    }

    #[test]
    fn a_minibatch_of_another_data_set_is_refused() {
        let model = build(&LogisticRegression {}, &[4], 3).unwrap();
        let refused = train(model.as_ref(), [0.0; 15].into(), 1.0, 1, |_| separable());
        assert!(matches!(refused, Err(ModelError::BatchShape { .. })), "{refused:?}");
    }
}
