//! The attacks that turn the sign of an update.

use candle_core::{DType, Tensor};
use input::unfit::{Unfit, fits_f32, require};
use learning::models::ModelError;
use learning::random::Stream;
use learning::training::{Trained, Training};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::{finite, mean};
use super::{Attack, AttackError, Conditions, Knowledge, Needs, View};

/// Updates turned around: a device's own, the mean of those that are known, or each step of training.
///
/// Three attacks go by this name. Each device turns its own update around (Allen-Zhu et al. 2020, as `of =
/// "own"`), all send the mean of the updates that they know turned around (as `of = "mean"`, the form of
/// Byzantine-robust benchmarks; the same as `inner-product` with `epsilon` = `scale`), or a device trains up
/// the gradient of the loss in place of down (`of = "loss"`). The last is the mirror image of honest training
/// only in its first step: the others start where the step before has led. What diverges in training is
/// refused by the aggregator, as it is of an honest device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SignFlip {
    /// What is turned around.
    pub of: Flipped,
    /// What the attacker knows; it makes a difference to the mean alone.
    pub knowledge: Knowledge,
    /// How many times as long as the honest update, or as the steps of training.
    pub scale: f64,
}

/// What a sign-flip attack turns around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flipped {
    /// The update of each compromised device.
    #[default]
    Own,
    /// The mean of the honest updates that the attacker knows.
    Mean,
    /// The gradient in each step of training.
    Loss,
}

impl Default for SignFlip {
    fn default() -> Self {
        SignFlip { of: Flipped::default(), knowledge: Knowledge::default(), scale: 1.0 }
    }
}

impl Attack for SignFlip {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require(fits_f32(self.scale) && self.scale > 0.0, "attack.scale", || {
            format!("{} must be a number above 0 that a 32-bit float holds", self.scale)
        })
    }

    fn needs(&self) -> Needs {
        match self.of {
            Flipped::Own => Needs::Colluders,
            Flipped::Mean => self.knowledge.needs(),
            Flipped::Loss => Needs::Nothing,
        }
    }

    fn train(&self, training: &Training<'_>, random: &mut Stream) -> Option<Result<Trained, ModelError>> {
        let rate = -self.scale * training.learning_rate();
        (self.of == Flipped::Loss).then(|| training.at_rate(rate, random))
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let models = match self.of {
            Flipped::Own => view.rows(view.colluders)?.to_dtype(DType::F64)?,
            Flipped::Mean => {
                mean(view.models, &self.knowledge.rows(view))?.repeat((view.colluders.len(), 1))?
            }
            Flipped::Loss => return Ok(None),
        };
        let origin = view.origin()?;
        let turned = (models.broadcast_sub(&origin)? * -self.scale)?;
        Ok(Some(finite(&turned.broadcast_add(&origin)?)?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use learning::data::{Dataset, Features, Shard};
    use learning::evaluation::evaluate;
    use learning::models::{LogisticRegression, build};
    use learning::random::{Purpose, stream};
    use learning::training::Settings;

    use super::super::testing::{crafted, refused, scenario};
    use super::*;

    /// The global model is [1, 10]; the first and the third of four devices are compromised.
    fn craft(settings: &[&str]) -> Vec<Vec<f32>> {
        let models = [[2.0, 10.0], [7.0, 9.0], [4.0, 14.0], [3.0, 7.0]].map(Vec::from);
        let scenario = scenario(&[&["attack.kind=sign-flip"], settings].concat());
        crafted(&scenario, &[1.0, 10.0], &models, &[0, 2]).unwrap()
    }

    /// What is trained from zero in so many steps with the attack, and with the learning rate of an honest
    /// device.
    fn trained(steps: u32, settings: &[&str]) -> (Option<Trained>, Trained) {
        let features =
            Features::Floats((0..60).map(|i| ((i * 37 + i * i % 17) % 29) as f32 / 29.0).collect());
        let labels = (0..20).map(|i| (i * 7 % 3) as u16).collect();
        let shard = Shard::whole(Arc::new(Dataset::new(vec![3], 3, features, labels).unwrap()));
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let settings_of_run =
            Settings { learning_rate: 0.5, batch_size: 4, local_steps: Some(steps), ..Settings::default() };
        let training = Training {
            model: &*model,
            global: vec![0.0; 12].into(),
            shard: &shard,
            settings: &settings_of_run,
            round: 1,
            momentum: None,
        };
        let random = || stream(1, Purpose::Batches, None, 1);
        let scenario = scenario(&[&["attack.kind=sign-flip"], settings].concat());
        let attacked = scenario.attack.kind.as_ref().unwrap().train(&training, &mut random());
        (attacked.map(Result::unwrap), training.honestly(&mut random()).unwrap())
    }

    #[test]
    fn each_sends_its_own_update_the_other_way_unless_told_otherwise() {
        assert_eq!(craft(&[]), [[0.0, 10.0], [-2.0, 6.0]]);
        assert_eq!(craft(&["attack.scale=2.5"]), [[-1.5, 10.0], [-6.5, 0.0]]);
        assert_eq!(craft(&["attack.knowledge=full"]), craft(&[]));
    }

    #[test]
    fn all_send_the_mean_update_that_is_known_the_other_way() {
        // The colluders' updates are [1, 0] and [3, 4]; everyone's are those, [6, -1] and [2, -3].
        assert_eq!(craft(&["attack.of=mean"]), [[-1.0, 8.0]; 2]);
        assert_eq!(
            craft(&["attack.of=mean", "attack.knowledge=full", "attack.scale=2.0"]),
            [[-5.0, 10.0]; 2]
        );
    }

    #[test]
    fn training_goes_up_the_gradient_step_by_step() {
        let (ascended, descended) = trained(1, &["attack.of=loss"]);
        let mirrored: Vec<f32> = descended.parameters.iter().map(|value| -value).collect();
        assert_eq!(ascended.unwrap().parameters[..], mirrored[..]);

        let (ascended, descended) = trained(5, &["attack.of=loss", "attack.scale=3.0"]);
        let model = build(&LogisticRegression {}, &[3], 3).unwrap();
        let features =
            Features::Floats((0..60).map(|i| ((i * 37 + i * i % 17) % 29) as f32 / 29.0).collect());
        let labels = (0..20).map(|i| (i * 7 % 3) as u16).collect();
        let shard = Shard::whole(Arc::new(Dataset::new(vec![3], 3, features, labels).unwrap()));
        let (mut expected, mut random) = (vec![0.0_f32; 12], stream(1, Purpose::Batches, None, 1));
        for _ in 0..5 {
            let (_, gradient) = model.loss_and_gradient(&expected, &shard.minibatch(4, &mut random)).unwrap();
            expected.iter_mut().zip(gradient).for_each(|(value, slope)| *value += 1.5 * slope);
        }
        let ascended = ascended.unwrap();
        assert_eq!(ascended.parameters[..], expected[..]);
        assert_ne!(descended.parameters, ascended.parameters);
        let loss = |parameters: &[f32]| {
            evaluate(&*model, parameters, [shard.dataset().batch(shard.indices())]).unwrap().loss
        };
        assert!(loss(&ascended.parameters) > loss(&[0.0; 12]));
        assert!(loss(&descended.parameters) < loss(&[0.0; 12]));
    }

    #[test]
    fn only_one_of_the_three_is_at_work() {
        assert!(trained(1, &[]).0.is_none() && trained(1, &["attack.of=mean"]).0.is_none());
        let needs = |settings: &[&str]| scenario(&[&["attack.kind=sign-flip"], settings].concat()).needs();
        assert_eq!(needs(&[]), Needs::Colluders);
        assert_eq!(needs(&["attack.of=mean", "attack.knowledge=full"]), Needs::Everyone);
        assert_eq!(needs(&["attack.of=loss", "attack.knowledge=full"]), Needs::Nothing);
    }

    #[test]
    fn a_factor_that_does_not_turn_the_update_is_refused() {
        for scale in ["0.0", "-1.0", "nan", "1e39"] {
            let refused = refused(&["attack.kind=sign-flip", &format!("attack.scale={scale}")]);
            assert!(refused.contains("attack.scale: ") && refused.contains("above 0"), "{refused}");
        }
    }
}
