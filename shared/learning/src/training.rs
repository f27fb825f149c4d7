//! Local training: what an honest device does in a round.

use std::iter::zip;
use std::sync::Arc;

use input::unfit::{Unfit, at_least_one, fits_f32, positive, require};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Batch, Drawn, Shard};
use crate::models::{Model, ModelError, clear};
use crate::random::Stream;

/// `[training]`: local training (paper section 2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Step size of SGD on the mean loss of a batch. The default is what the authors' 0.003 on a loss summed
    /// over a batch of 32 amounts to.
    pub learning_rate: f64,
    /// After so many rounds, and after as many again, the step size is multiplied by `decay-factor`; without, it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_every: Option<u32>,
    /// By what the step size is multiplied then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_factor: Option<f64>,
    /// Examples in a minibatch.
    pub batch_size: u32,
    /// SGD steps in a round (the paper's R), one by default; with 0 a device sends the model back as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_steps: Option<u32>,
    /// In place of `local-steps`, passes in a round over the examples of the device, in shuffled minibatches (McMahan et al.
    /// 2017, their E).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_epochs: Option<u32>,
    /// So many times the parameters are added to the gradient.
    #[serde(skip_serializing_if = "is_default")]
    pub weight_decay: f64,
    /// Share of the momentum that is left after a step, at least 0 and below 1; what a gradient adds follows from `send`.
    #[serde(skip_serializing_if = "is_default")]
    pub momentum: f64,
    /// What a device sends.
    #[serde(skip_serializing_if = "is_default")]
    pub send: Sent,
}

/// What a device sends, and what its momentum is accordingly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sent {
    /// The model that it ends with. Its momentum begins anew in each round, and is that of the heavy ball: β m + g.
    #[default]
    Model,
    /// The global model less the step size times its momentum, which goes on from round to round: β m + (1 - β) g
    /// (Karimireddy et al. 2021). Of several steps in a round, each goes along the momentum.
    Momentum,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            learning_rate: 0.096,
            decay_every: None,
            decay_factor: None,
            batch_size: 32,
            local_steps: None,
            local_epochs: None,
            weight_decay: 0.0,
            momentum: 0.0,
            send: Sent::Model,
        }
    }
}

impl Settings {
    /// With the number of steps that is meant where none is given.
    #[must_use]
    pub fn resolved(self) -> Self {
        let is_open = self.local_epochs.is_none();
        Settings { local_steps: self.local_steps.or(is_open.then_some(1)), ..self }
    }

    /// Whether they make sense.
    ///
    /// # Errors
    /// The dotted key that is wrong, and what would be right.
    pub fn check(&self) -> Result<(), Unfit> {
        positive("training.learning-rate", self.learning_rate)?;
        if let Some(every) = self.decay_every {
            at_least_one("training.decay-every", every)?;
            require(self.decay_factor.is_some(), "training.decay-every", || {
                "says when the learning rate falls, and not how far; give training.decay-factor as well"
                    .to_owned()
            })?;
        }
        if let Some(factor) = self.decay_factor {
            require(factor > 0.0 && factor <= 1.0, "training.decay-factor", || {
                format!("{factor} must lie above 0 and be at most 1")
            })?;
            require(self.decay_every.is_some(), "training.decay-factor", || {
                "says how far the learning rate falls, and not when; give training.decay-every as well"
                    .to_owned()
            })?;
        }
        at_least_one("training.batch-size", self.batch_size)?;
        if let Some(epochs) = self.local_epochs {
            at_least_one("training.local-epochs", epochs)?;
            require(self.local_steps.is_none(), "training.local-epochs", || {
                "cannot be beside training.local-steps: both say how long a device trains; leave one of them out".to_owned()
            })?;
        }
        let (decay, momentum) = (self.weight_decay, self.momentum);
        require(fits_f32(decay) && decay >= 0.0, "training.weight-decay", || {
            format!("{decay} must be a number of at least 0 that a 32-bit float holds")
        })?;
        // What is computed with is the value as a 32-bit float.
        require(momentum >= 0.0 && (momentum as f32) < 1.0, "training.momentum", || {
            format!("{momentum} must be at least 0 and below 1, as a 32-bit float too")
        })?;
        require(self.send == Sent::Model || momentum > 0.0, "training.send", || {
            "is momentum, where there is none; give training.momentum".to_owned()
        })
    }

    /// The step size in `round`.
    pub fn learning_rate_in(&self, round: u32) -> f64 {
        match (self.decay_every, self.decay_factor) {
            (Some(every), Some(factor)) => {
                self.learning_rate * libm::pow(factor, f64::from(round.saturating_sub(1) / every))
            }
            _ => self.learning_rate,
        }
    }

    /// Whether the momentum of a device goes on from round to round.
    pub fn keeps_momentum(&self) -> bool {
        self.send == Sent::Momentum
    }

    /// The examples of the steps of a round, of those of `shard`.
    pub fn minibatches<'a>(
        &self,
        shard: &'a Shard,
        random: &'a mut Stream,
    ) -> Box<dyn Iterator<Item = Drawn> + 'a> {
        let size = self.batch_size as usize;
        match self.local_epochs {
            Some(epochs) => Box::new((0..epochs).flat_map(move |_| shard.pass(size, random))),
            None => Box::new((0..self.local_steps.unwrap_or(1)).map(move |_| shard.draw(size, random))),
        }
    }

    /// How steps with this learning rate are taken.
    pub fn descent(&self, learning_rate: f64) -> Descent {
        let gradient = if self.keeps_momentum() { 1.0 - self.momentum } else { 1.0 };
        Descent { learning_rate, weight_decay: self.weight_decay, momentum: self.momentum, gradient }
    }
}

/// How a step of gradient descent is taken: against the gradient, with the decay in it, or against a momentum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// How far it goes, times the length of what it goes against.
    pub learning_rate: f64,
    /// So many times the parameters are added to the gradient.
    pub weight_decay: f64,
    /// What is left of the momentum after a step (β); with 0 there is none.
    pub momentum: f64,
    /// So many times the gradient is added to it.
    pub gradient: f64,
}

impl Descent {
    /// Steps against the gradient alone.
    pub fn plain(learning_rate: f64) -> Self {
        Descent { learning_rate, weight_decay: 0.0, momentum: 0.0, gradient: 1.0 }
    }
}

/// What local training ends in.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The local model, d values; not finite if training diverged.
    pub parameters: Arc<[f32]>,
    /// Mean over the steps of the minibatch loss before each; 0 if there was none.
    pub loss: f32,
    /// The momentum that the device goes on with in its next round, d values, if it keeps it.
    pub momentum: Option<Arc<[f32]>>,
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
    /// The round.
    pub round: u32,
    /// The momentum of its earlier rounds, d values, if it keeps it and there were any.
    pub momentum: Option<Arc<[f32]>>,
}

impl Training<'_> {
    /// What an honest device does: [`train`] on minibatches of its shard, which are drawn from `random`.
    ///
    /// # Errors
    /// As [`train`].
    pub fn honestly(&self, random: &mut Stream) -> Result<Trained, ModelError> {
        self.at_rate(self.learning_rate(), random)
    }

    /// The learning rate of the round.
    pub fn learning_rate(&self) -> f64 {
        self.settings.learning_rate_in(self.round)
    }

    /// The same with another learning rate; with one below 0, each step goes up the gradient.
    ///
    /// # Errors
    /// As [`train`].
    pub fn at_rate(&self, learning_rate: f64, random: &mut Stream) -> Result<Trained, ModelError> {
        let descent = self.settings.descent(learning_rate);
        let minibatches = self.settings.minibatches(self.shard, random).map(|drawn| self.shard.batch(drawn));
        let trained = train(self.model, self.global.clone(), &descent, self.momentum.clone(), minibatches)?;
        Ok(Trained { momentum: trained.momentum.filter(|_| self.settings.keeps_momentum()), ..trained })
    }
}

/// Takes steps of stochastic gradient descent from the model `global` (d values), one for each of the `minibatches`, against the
/// gradient of its mean loss (paper, section 2.1), or against the momentum that this gradient is added to, which begins with
/// `momentum` (d values), or with nothing.
///
/// Draws nothing by itself: the same minibatches give the same bits.
///
/// # Errors
/// If `global`, `momentum` or a minibatch does not fit the model; see [`Model::loss_and_gradient`].
pub fn train(
    model: &dyn Model,
    global: Arc<[f32]>,
    descent: &Descent,
    mut momentum: Option<Arc<[f32]>>,
    minibatches: impl IntoIterator<Item = Batch>,
) -> Result<Trained, ModelError> {
    if let Some(momentum) = &momentum {
        model.layout().check(momentum)?;
    }
    let [rate, decay, kept, added] =
        [descent.learning_rate, descent.weight_decay, descent.momentum, descent.gradient].map(|it| it as f32);
    let mut parameters = global;
    let (mut total, mut steps) = (0.0, 0_u64);
    for batch in minibatches {
        let (loss, mut direction) = model.loss_and_gradient(&parameters, &batch)?;
        if decay > 0.0 {
            zip(&mut direction, &*parameters).for_each(|(derivative, value)| *derivative += decay * value);
        }
        if kept > 0.0 {
            match &momentum {
                Some(before) => zip(&mut direction, &**before)
                    .for_each(|(derivative, before)| *derivative = kept * before + added * *derivative),
                None => direction.iter_mut().for_each(|derivative| *derivative *= added),
            }
        }
        // Neither decay nor momentum moves what is frozen.
        clear(&mut direction, model.frozen());
        if kept > 0.0 {
            momentum = Some(direction.as_slice().into());
        }
        parameters = zip(&*parameters, &direction).map(|(value, way)| value - rate * way).collect();
        total += f64::from(loss);
        steps += 1;
    }
    Ok(Trained { parameters, loss: (total / steps.max(1) as f64) as f32, momentum })
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
    use std::collections::BTreeSet;
    use std::iter::repeat_with;

    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::data::{Dataset, Features};
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

    /// So many plain steps, all on the same minibatch.
    fn descend(
        model: &dyn Model,
        global: Vec<f32>,
        learning_rate: f64,
        steps: usize,
        minibatch: impl Fn() -> Batch,
    ) -> Result<Trained, ModelError> {
        let descent = Descent::plain(learning_rate);
        train(model, global.into(), &descent, None, repeat_with(minibatch).take(steps))
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
        let trained = descend(model.as_ref(), global.clone(), 0.25, 1, separable).unwrap();
        let expected: Vec<f32> = global.iter().zip(gradient).map(|(v, g)| v - 0.25 * g).collect();
        assert_eq!(trained, Trained { parameters: expected.into(), loss, momentum: None });
    }

    #[test]
    fn steps_follow_each_other_and_their_losses_are_averaged() {
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let both = descend(model.as_ref(), noise(12), 0.25, 2, separable);
        let first = descend(model.as_ref(), noise(12), 0.25, 1, separable).unwrap();
        let second = descend(model.as_ref(), first.parameters.to_vec(), 0.25, 1, separable).unwrap();
        let both = both.unwrap();
        assert_eq!(both.parameters, second.parameters);
        assert!((both.loss - f32::midpoint(first.loss, second.loss)).abs() < 1e-6);
        assert!(second.loss < first.loss);
    }

    #[test]
    fn no_step_leaves_the_model_as_it_is() {
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let trained = descend(model.as_ref(), noise(12), 0.25, 0, separable).unwrap();
        assert_eq!(trained, Trained { parameters: noise(12).into(), loss: 0.0, momentum: None });
    }

    #[test]
    fn logistic_regression_learns_a_separable_problem() {
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let trained = descend(model.as_ref(), vec![0.0; 12], 1.0, 300, separable).unwrap();
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
        let trained = descend(model.as_ref(), initial.into_values(), 0.1, 300, images).unwrap();
        let evaluation = evaluate(model.as_ref(), &trained.parameters, [images()]).unwrap();
        assert_eq!(evaluation.errors, 0, "{evaluation:?}");
        assert!(evaluation.loss < 0.05, "{evaluation:?}");
    }

    #[test]
    fn a_minibatch_of_another_data_set_is_refused() {
        let model = build(&LogisticRegression {}, &[4], 3).unwrap();
        let refused = descend(model.as_ref(), vec![0.0; 15], 1.0, 1, separable);
        assert!(matches!(refused, Err(ModelError::BatchShape { .. })), "{refused:?}");
    }

    /// A device with 20 examples of three numbers in three classes.
    fn shard() -> Shard {
        let labels = (0..20).map(|example| example * 7 % 3).collect();
        Shard::whole(Dataset::new(vec![3], 3, Features::Floats(noise(60)), labels).unwrap().into())
    }

    /// What a device trains with these settings in a round, after the momentum of earlier ones.
    fn trained(settings: &Settings, round: u32, momentum: Option<Arc<[f32]>>) -> Trained {
        let (model, shard) = (build(&LogisticRegression {}, &[3], 3).unwrap(), shard());
        let global = noise(12).into();
        let training = Training { model: &*model, global, shard: &shard, settings, round, momentum };
        training.honestly(&mut stream(1, Purpose::Batches, None, round)).unwrap()
    }

    /// The definition in 64 bits: the gradients are those of the minibatches of `round`, with the decay in them.
    fn defined(settings: &Settings, round: u32, momentum: &mut [f64]) -> Vec<f64> {
        let (model, shard) = (build(&LogisticRegression {}, &[3], 3).unwrap(), shard());
        let mut values: Vec<f64> = noise(12).into_iter().map(f64::from).collect();
        let random = &mut stream(1, Purpose::Batches, None, round);
        let drawn: Vec<Drawn> = settings.minibatches(&shard, random).collect();
        for drawn in drawn {
            let rounded: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            let (_, gradient) = model.loss_and_gradient(&rounded, &shard.batch(drawn)).unwrap();
            for (place, derivative) in gradient.into_iter().enumerate() {
                let gradient = f64::from(derivative) + settings.weight_decay * values[place];
                let (beta, m) = (settings.momentum, momentum[place]);
                let added = if settings.send == Sent::Model { 1.0 } else { 1.0 - beta };
                momentum[place] = beta * m + added * gradient;
                values[place] -= settings.learning_rate_in(round) * momentum[place];
            }
        }
        values
    }

    fn assert_close(values: &[f32], expected: &[f64]) {
        for (value, expected) in values.iter().zip(expected) {
            assert!((f64::from(*value) - expected).abs() < 1e-5, "{value}, not {expected}");
        }
    }

    #[test]
    fn a_model_is_sent_after_steps_of_the_heavy_ball_which_comes_to_rest_between_rounds() {
        let steps =
            Settings { local_steps: Some(4), learning_rate: 0.3, batch_size: 6, ..Settings::default() };
        for settings in [
            Settings { momentum: 0.9, ..steps.clone() },
            Settings { weight_decay: 0.2, ..steps.clone() },
            Settings { momentum: 0.5, weight_decay: 0.2, ..steps },
        ] {
            for round in [1, 2] {
                let trained = trained(&settings, round, None);
                assert_close(&trained.parameters, &defined(&settings, round, &mut [0.0; 12]));
                assert_eq!(trained.momentum, None);
            }
        }
    }

    #[test]
    fn the_momentum_that_is_sent_goes_on_from_round_to_round() {
        let settings = Settings { momentum: 0.9, send: Sent::Momentum, batch_size: 6, ..Settings::default() };
        let (mut before, mut expected) = (None, vec![0.0; 12]);
        for round in 1..=5 {
            let trained = trained(&settings, round, before);
            assert_close(&trained.parameters, &defined(&settings, round, &mut expected));
            let momentum = trained.momentum.unwrap();
            assert_close(&momentum, &expected);
            let of_sent: Vec<f64> = zip(noise(12), &*momentum)
                .map(|(global, m)| f64::from(global) - 0.096 * f64::from(*m))
                .collect();
            assert_close(&trained.parameters, &of_sent);
            before = Some(momentum);
        }
    }

    #[test]
    fn a_momentum_of_another_model_is_refused() {
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let refused = train(&*model, noise(12).into(), &Descent::plain(1.0), Some([0.0; 3].into()), []);
        assert!(matches!(refused, Err(ModelError::Parameters(_))), "{refused:?}");
    }

    #[test]
    fn an_epoch_takes_every_example_once_in_shuffled_minibatches() {
        let (settings, shard) =
            (Settings { local_epochs: Some(2), batch_size: 6, ..Settings::default() }, shard());
        let random = &mut stream(1, Purpose::Batches, None, 1);
        let drawn: Vec<Drawn> = settings.minibatches(&shard, random).collect();
        assert_eq!(
            drawn.iter().map(|drawn| drawn.indices.len()).collect::<Vec<_>>(),
            [6, 6, 6, 2, 6, 6, 6, 2]
        );
        for epoch in drawn.chunks(4) {
            let examples: Vec<u32> = epoch.iter().flat_map(|drawn| drawn.indices.clone()).collect();
            assert!(!examples.is_sorted());
            assert_eq!(examples.iter().collect::<BTreeSet<_>>().len(), 20);
            for drawn in epoch {
                let labels: Vec<u32> = drawn.indices.iter().map(|example| example * 7 % 3).collect();
                assert_eq!(drawn.labels, labels);
            }
        }
        assert_ne!(drawn[..4], drawn[4..], "each pass is shuffled anew");
    }

    #[test]
    fn the_learning_rate_falls_in_steps() {
        let settings = Settings {
            learning_rate: 0.8,
            decay_every: Some(3),
            decay_factor: Some(0.5),
            ..Settings::default()
        };
        let rates = [1, 3, 4, 6, 7, 10].map(|round| settings.learning_rate_in(round));
        assert_eq!(rates, [0.8, 0.8, 0.4, 0.4, 0.2, 0.1]);
        assert_close(&trained(&settings, 4, None).parameters, &defined(&settings, 4, &mut [0.0; 12]));
        assert_eq!(Settings::default().learning_rate_in(4_000_000_000), 0.096);
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let check = |settings: Settings| settings.check().map_err(|(key, _)| key);
        let usual = Settings::default;
        assert_eq!(check(usual()), Ok(()));
        assert_eq!(check(Settings { momentum: 0.9, send: Sent::Momentum, ..usual() }), Ok(()));
        assert_eq!(check(Settings { send: Sent::Momentum, ..usual() }), Err("training.send"));
        for momentum in [-0.1, 1.0, 0.999_999_999_9, f64::NAN] {
            assert_eq!(check(Settings { momentum, ..usual() }), Err("training.momentum"));
        }
        for weight_decay in [-0.1, f64::INFINITY, f64::NAN] {
            assert_eq!(check(Settings { weight_decay, ..usual() }), Err("training.weight-decay"));
        }
        let (decay_every, decay_factor) = (Some(5), Some(0.1));
        assert_eq!(check(Settings { decay_every, decay_factor, ..usual() }), Ok(()));
        assert_eq!(check(Settings { decay_every, ..usual() }), Err("training.decay-every"));
        assert_eq!(check(Settings { decay_factor, ..usual() }), Err("training.decay-factor"));
        for factor in [0.0, 1.5, f64::NAN] {
            let settings = Settings { decay_every, decay_factor: Some(factor), ..usual() };
            assert_eq!(check(settings), Err("training.decay-factor"));
        }
        let local_epochs = Some(2);
        assert_eq!(check(Settings { local_epochs, ..usual() }.resolved()), Ok(()));
        assert_eq!(check(Settings { local_epochs: Some(0), ..usual() }), Err("training.local-epochs"));
        assert_eq!(
            check(Settings { local_epochs, local_steps: Some(1), ..usual() }),
            Err("training.local-epochs")
        );
    }
}
