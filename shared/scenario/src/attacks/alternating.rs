//! Alternating between honest and targeted steps.

use input::unfit::{Unfit, at_least_one, fits_f32, positive, require};
use learning::data::{Dataset, Shard};
use learning::models::ModelError;
use learning::random::Stream;
use learning::training::{Trained, Training};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, Conditions, LabelFlip, Poison, Trigger};

/// Compromised devices alternate between boosted steps on a targeted loss and honest ones that hide them (Bhagoji et al. 2019).
///
/// Each cycle begins with `targeted-steps` on the examples that the attack is after, under the labels that it wants. The way
/// of these steps alone is multiplied by `boost`. Then `honest-steps` follow on all examples of the device, on their loss plus
/// ρ `‖v - v_honest‖`. `v_honest` is what the device would honestly have sent; the paper takes the mean update of the benign
/// devices in the last round. Minibatches and learning rate are those of honest training.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Alternating {
    /// Number of cycles in a round.
    pub cycles: u32,
    /// Steps on the targeted loss in a cycle.
    pub targeted_steps: u32,
    /// Honest steps in a cycle.
    pub honest_steps: u32,
    /// How many times as far the targeted steps go.
    pub boost: f64,
    /// The weight of the distance from the honest model in the loss of honest steps (the paper's ρ).
    pub rho: f64,
    /// By what the examples that the attack is after are made; of a trigger all are stamped, of other labels those of
    /// `from` are taken.
    pub poison: Poison,
    /// The trigger.
    #[serde(flatten)]
    pub trigger: Trigger,
    /// The other labels.
    #[serde(flatten)]
    pub flip: LabelFlip,
}

impl Default for Alternating {
    fn default() -> Self {
        Alternating {
            cycles: 1,
            targeted_steps: 1,
            honest_steps: 10,
            boost: 10.0,
            rho: 1e-4,
            poison: Poison::default(),
            trigger: Trigger::default(),
            flip: LabelFlip::default(),
        }
    }
}

impl Attack for Alternating {
    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        at_least_one("attack.cycles", self.cycles)?;
        at_least_one("attack.targeted-steps", self.targeted_steps)?;
        positive("attack.boost", self.boost)?;
        require(fits_f32(self.rho) && self.rho >= 0.0, "attack.rho", || {
            format!("{} must be a number of at least 0 that a 32-bit float holds", self.rho)
        })?;
        self.poison.check(&self.trigger, &self.flip, conditions)?;
        let is_targeted = self.poison == Poison::Trigger || self.flip.to.is_some();
        require(is_targeted, "attack.poison", || {
            "is label-flip, and the attack is after the examples of one class; give attack.from and attack.to"
                .to_owned()
        })
    }

    fn stamped(&self, test: &Dataset) -> Option<Dataset> {
        self.data().stamped(test)
    }

    fn train(&self, training: &Training<'_>, random: &mut Stream) -> Option<Result<Trained, ModelError>> {
        Some(self.alternate(training, random))
    }
}

impl Alternating {
    fn data(&self) -> &dyn Attack {
        self.poison.of(&self.trigger, &self.flip)
    }

    /// The loss that is told is that of honest training, and so is the momentum that is kept.
    fn alternate(&self, training: &Training<'_>, random: &mut Stream) -> Result<Trained, ModelError> {
        let honest = training.honestly(random)?;
        let shard = training.shard;
        let targeted = self.stamped(&shard.dataset().select(shard.indices()));
        let targeted = targeted.map(|examples| Shard::whole(examples.into()));
        let mut model =
            Descent { training, parameters: training.global.iter().copied().map(f64::from).collect() };
        for _ in 0..self.cycles {
            if let Some(targeted) = &targeted {
                let before = model.parameters.clone();
                for _ in 0..self.targeted_steps {
                    model.step(targeted, random, |_| 0.0)?;
                }
                for (parameter, before) in model.parameters.iter_mut().zip(before) {
                    *parameter = before + self.boost * (*parameter - before);
                }
            }
            for _ in 0..self.honest_steps {
                let away: Vec<f64> = model
                    .parameters
                    .iter()
                    .zip(&*honest.parameters)
                    .map(|(v, h)| v - f64::from(*h))
                    .collect();
                let distance = away.iter().map(|value| value * value).sum::<f64>().sqrt();
                // At the honest model itself, where the distance has no gradient, 0 is one of its subgradients.
                let factor = if distance > 0.0 { self.rho / distance } else { 0.0 };
                model.step(shard, random, |coordinate| factor * away[coordinate])?;
            }
        }
        Ok(Trained { parameters: model.rounded().into(), ..honest })
    }
}

/// A model that is trained, in 64 bits between gradients.
struct Descent<'a> {
    training: &'a Training<'a>,
    parameters: Vec<f64>,
}

impl Descent<'_> {
    /// A step against the gradient of the mean loss of a minibatch of `shard`, and `more` of each coordinate.
    fn step(
        &mut self,
        shard: &Shard,
        random: &mut Stream,
        more: impl Fn(usize) -> f64,
    ) -> Result<(), ModelError> {
        let learning_rate = self.training.learning_rate();
        let batch = shard.minibatch(self.training.settings.batch_size as usize, random);
        let (_, gradient) = self.training.model.loss_and_gradient(&self.rounded(), &batch)?;
        for (coordinate, (parameter, derivative)) in self.parameters.iter_mut().zip(gradient).enumerate() {
            *parameter -= learning_rate * (f64::from(derivative) + more(coordinate));
        }
        Ok(())
    }

    /// The nearest finite 32 bits.
    fn rounded(&self) -> Vec<f32> {
        let within = |value: &f64| value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        self.parameters.iter().map(within).collect()
    }
}

#[cfg(test)]
mod tests {
    use learning::data::{Batch, Features};
    use learning::models::{LogisticRegression, Model, build};
    use learning::random::{Purpose, stream};
    use learning::training::Settings;

    use super::super::testing::conditions;
    use super::*;

    /// Twelve examples of two numbers in three classes, fewer than a minibatch has, so that nothing is drawn.
    fn examples() -> Dataset {
        let features = (0..24).map(|at| ((at * 7 + at * at % 5) % 11) as f32 / 11.0 - 0.4).collect();
        let labels = (0..12).map(|example| example % 3).collect();
        Dataset::new(vec![2], 3, Features::Floats(features), labels).unwrap()
    }

    fn model() -> Box<dyn Model> {
        build(&LogisticRegression {}, &[2], 3).unwrap()
    }

    fn global() -> Vec<f32> {
        (0..9).map(|at| (at as f32 - 4.0) / 10.0).collect()
    }

    fn settings() -> Settings {
        Settings { learning_rate: 0.5, local_steps: Some(2), ..Settings::default() }
    }

    fn training<'a>(model: &'a dyn Model, shard: &'a Shard, settings: &'a Settings) -> Training<'a> {
        Training { model, global: global().into(), shard, settings, round: 1, momentum: None }
    }

    fn train(attack: &Alternating, dataset: Dataset) -> Trained {
        let (model, shard) = (model(), Shard::whole(dataset.into()));
        let settings = settings();
        let training = training(model.as_ref(), &shard, &settings);
        attack.train(&training, &mut stream(1, Purpose::Batches, None, 1)).unwrap().unwrap()
    }

    fn attack() -> Alternating {
        let flip = LabelFlip { from: Some(0), to: Some(2), random: false };
        Alternating {
            poison: Poison::LabelFlip,
            flip,
            cycles: 3,
            targeted_steps: 2,
            honest_steps: 4,
            rho: 0.7,
            boost: 5.0,
            ..Alternating::default()
        }
    }

    /// The definition, step by step.
    fn defined(attack: &Alternating) -> Vec<f64> {
        let all = examples().batch(&(0..12).collect::<Vec<_>>());
        let targeted = Batch { labels: vec![2; 4], ..examples().batch(&[0, 3, 6, 9]) };
        let gradient = |v: &[f64], batch: &Batch| -> Vec<f64> {
            let v: Vec<f32> = v.iter().map(|value| *value as f32).collect();
            model().loss_and_gradient(&v, batch).unwrap().1.into_iter().map(f64::from).collect()
        };
        let minus = |v: &[f64], factor: f64, step: &[f64]| -> Vec<f64> {
            v.iter().zip(step).map(|(v, step)| v - factor * step).collect()
        };
        let start: Vec<f64> = global().into_iter().map(f64::from).collect();
        let mut honest = start.clone();
        for _ in 0..2 {
            honest = minus(&honest, 0.5, &gradient(&honest, &all));
        }
        let mut v = start;
        for _ in 0..attack.cycles {
            let before = v.clone();
            for _ in 0..attack.targeted_steps {
                v = minus(&v, 0.5, &gradient(&v, &targeted));
            }
            let way = minus(&v, 1.0, &before);
            v = minus(&before, -attack.boost, &way);
            for _ in 0..attack.honest_steps {
                let away = minus(&v, 1.0, &honest);
                let distance = away.iter().map(|value| value.powi(2)).sum::<f64>().sqrt();
                let unit: Vec<f64> = away.iter().map(|value| attack.rho * value / distance).collect();
                let slope = minus(&gradient(&v, &all), -1.0, &unit);
                v = minus(&v, 0.5, &slope);
            }
        }
        v
    }

    #[test]
    fn what_is_sent_is_the_definition() {
        for rho in [0.0, 0.7] {
            let attack = Alternating { rho, ..attack() };
            let trained = train(&attack, examples());
            for (sent, expected) in trained.parameters.iter().zip(defined(&attack)) {
                assert!((f64::from(*sent) - expected).abs() < 1e-4, "{sent} {expected}");
            }
        }
    }

    #[test]
    fn a_device_without_targeted_examples_takes_honest_steps() {
        let none = examples().select(&[1, 2, 4, 5]);
        let attack = Alternating { rho: 0.0, cycles: 1, honest_steps: 2, ..attack() };
        let (model, shard) = (model(), Shard::whole(none.clone().into()));
        let settings = settings();
        let training = training(model.as_ref(), &shard, &settings);
        let honest = training.honestly(&mut stream(1, Purpose::Batches, None, 1)).unwrap();
        let trained = train(&attack, none);
        assert_eq!(trained.loss, honest.loss);
        for (sent, expected) in trained.parameters.iter().zip(&*honest.parameters) {
            assert!((sent - expected).abs() < 1e-6, "{sent} {expected}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let check = |attack: Alternating| attack.check(&conditions(&[28, 28])).map_err(|(key, _)| key);
        let usual = Alternating::default;
        assert_eq!(check(usual()), Ok(()));
        assert_eq!(check(attack()), Ok(()));
        assert_eq!(check(Alternating { honest_steps: 0, rho: 0.0, ..usual() }), Ok(()));
        assert_eq!(check(Alternating { cycles: 0, ..usual() }), Err("attack.cycles"));
        assert_eq!(check(Alternating { targeted_steps: 0, ..usual() }), Err("attack.targeted-steps"));
        assert_eq!(check(Alternating { boost: 0.0, ..usual() }), Err("attack.boost"));
        assert_eq!(check(Alternating { rho: -1.0, ..usual() }), Err("attack.rho"));
        assert_eq!(check(Alternating { poison: Poison::LabelFlip, ..usual() }), Err("attack.poison"));
        let random = LabelFlip { random: true, ..LabelFlip::default() };
        assert_eq!(
            check(Alternating { poison: Poison::LabelFlip, flip: random, ..usual() }),
            Err("attack.poison")
        );
    }
}
