//! Model replacement: boosted updates of poisoned devices.

use candle_core::{DType, Tensor};
use input::unfit::{Unfit, positive};
use learning::data::{Dataset, Shard};
use learning::random::Stream;
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::finite;
use super::{Attack, AttackError, Conditions, LabelFlip, Needs, Poison, Trigger, View};

/// What was trained on poisoned data is boosted, so that it outweighs the other updates in the mean (Bagdasaryan et al. 2020).
///
/// Each compromised device sends the global model plus `scale` times its own update. Unless set, that is m/f, of m devices
/// that take part in the round and f compromised ones whose models are known: if the updates of the others cancel each other,
/// the mean of all models is then that of the poisoned ones. With `clip`, a longer update is shortened to this norm
/// (train-and-scale).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ModelReplacement {
    /// By what the data is poisoned.
    pub poison: Poison,
    /// How many times as long the update becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// The largest norm of an update that is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// The trigger.
    #[serde(flatten)]
    pub trigger: Trigger,
    /// The other labels.
    #[serde(flatten)]
    pub flip: LabelFlip,
}

impl Attack for ModelReplacement {
    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        self.poison.check(&self.trigger, &self.flip, conditions)?;
        self.scale.map_or(Ok(()), |scale| positive("attack.scale", scale))?;
        self.clip.map_or(Ok(()), |clip| positive("attack.clip", clip))
    }

    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn poison(&self, shard: Shard, rank: usize, random: &mut Stream) -> Shard {
        self.data().poison(shard, rank, random)
    }

    fn stamped(&self, test: &Dataset) -> Option<Dataset> {
        self.data().stamped(test)
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let origin = view.origin()?;
        let scale = self.scale.unwrap_or(view.selected as f64 / view.colluders.len() as f64);
        let trained = view.rows(view.colluders)?.to_dtype(DType::F64)?;
        let mut updates = (trained.broadcast_sub(&origin)? * scale)?;
        if let Some(clip) = self.clip {
            let norms = updates.sqr()?.sum_keepdim(1)?.sqrt()?;
            // Of no update that is short enough, nor of one that is nothing.
            let factors = (norms.clamp(clip, f64::INFINITY)?.recip()? * clip)?;
            updates = updates.broadcast_mul(&factors)?;
        }
        Ok(Some(finite(&updates.broadcast_add(&origin)?)?))
    }
}

impl ModelReplacement {
    fn data(&self) -> &dyn Attack {
        self.poison.of(&self.trigger, &self.flip)
    }
}

#[cfg(test)]
mod tests {
    use learning::data::Features;

    use super::super::testing::{conditions, crafted, scenario};
    use super::*;
    use crate::Scenario;

    const GLOBAL: [f32; 3] = [1.0, -2.0, 0.5];

    fn models() -> Vec<Vec<f32>> {
        [[2.0, -2.0, 0.5], [1.5, -1.0, 1.0], [0.0, -3.0, 0.25], [1.0, -2.0, 0.5]].map(Vec::from).into()
    }

    /// The first and the last of four devices are compromised.
    fn craft(settings: &[&str]) -> Vec<Vec<f32>> {
        let scenario = scenario(&[&["attack.kind=model-replacement"], settings].concat());
        crafted(&scenario, &GLOBAL, &models(), &[1, 2]).unwrap()
    }

    /// The definition, value by value.
    fn defined(scale: f64, clip: f64) -> Vec<Vec<f32>> {
        let sent = |model: &Vec<f32>| {
            let pairs = model.iter().zip(GLOBAL);
            let update: Vec<f64> = pairs.map(|(v, g)| scale * (f64::from(*v) - f64::from(g))).collect();
            let norm = update.iter().map(|value| value * value).sum::<f64>().sqrt();
            let factor = if norm > clip { clip / norm } else { 1.0 };
            update.iter().zip(GLOBAL).map(|(u, g)| (f64::from(g) + factor * u) as f32).collect()
        };
        models()[1..3].iter().map(sent).collect()
    }

    fn assert_near(sent: &[Vec<f32>], expected: &[Vec<f32>]) {
        for (sent, expected) in sent.iter().flatten().zip(expected.iter().flatten()) {
            assert!((sent - expected).abs() <= 1e-6 * expected.abs(), "{sent} where {expected} was expected");
        }
    }

    #[test]
    fn an_update_is_boosted_by_the_devices_of_a_round_for_each_compromised_one() {
        // 100 devices take part by default, of 40 in a round here two are compromised.
        assert_near(&craft(&[]), &defined(50.0, f64::INFINITY));
        assert_near(&craft(&["fleet.selected=40"]), &defined(20.0, f64::INFINITY));
        assert_near(&craft(&["attack.scale=1.5"]), &defined(1.5, f64::INFINITY));
    }

    #[test]
    fn the_mean_is_the_mean_of_the_poisoned_models_where_the_others_stay() {
        let sent = craft(&["fleet.selected=4", "fleet.compromised=2", "fleet.devices=4"]);
        for (coordinate, global) in GLOBAL.into_iter().enumerate() {
            let mean = (sent[0][coordinate] + sent[1][coordinate] + 2.0 * global) / 4.0;
            let poisoned = f32::midpoint(models()[1][coordinate], models()[2][coordinate]);
            assert!((mean - poisoned).abs() < 1e-6, "{mean} {poisoned}");
        }
    }

    #[test]
    fn a_longer_update_is_clipped_and_a_shorter_one_is_not() {
        // The norms of the updates are √1.5 = 1.2247 and √2.0625 = 1.4361.
        for clip in [0.5, 1.3, 1.4, 2.0] {
            let sent = craft(&["attack.scale=1.0", &format!("attack.clip={clip}")]);
            assert_near(&sent, &defined(1.0, clip));
        }
        let still = scenario(&["attack.kind=model-replacement", "attack.clip=1.0"]);
        assert_eq!(crafted(&still, &GLOBAL, &[GLOBAL.into()], &[0]).unwrap(), [GLOBAL]);
    }

    #[test]
    fn a_boost_beyond_the_range_ends_there() {
        let sent = craft(&["attack.scale=3e38"]);
        assert!(sent.iter().flatten().all(|value| value.is_finite()), "{sent:?}");
    }

    #[test]
    fn data_is_poisoned_by_a_trigger_or_by_other_labels() {
        let test = Dataset::new(vec![2, 2], 10, Features::Bytes(vec![0; 8]), vec![4, 5]).unwrap();
        let stamped = |settings: &[&str]| {
            let kind = ["attack.kind=model-replacement"];
            scenario(&[&kind, settings].concat()).attack.kind.unwrap().stamped(&test).unwrap()
        };
        let pixel = stamped(&["attack.pattern=pixel", "attack.target=5"]);
        assert_eq!((pixel.len(), pixel.labels()), (1, &[5][..]));
        let flipped = stamped(&["attack.poison=label-flip", "attack.from=5", "attack.to=9"]);
        assert_eq!((flipped.len(), flipped.labels()), (1, &[9][..]));
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refused = |settings: &[&str]| {
            let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
            let settings: Vec<String> =
                ["attack.kind=model-replacement"].iter().chain(settings).map(ToString::to_string).collect();
            Scenario::parse("t.toml", text, &settings).unwrap_err().to_string()
        };
        for (setting, key) in [
            ("attack.scale=0.0", "attack.scale: "),
            ("attack.scale=1e39", "attack.scale: "),
            ("attack.clip=0.0", "attack.clip: "),
            ("attack.clip=-1.0", "attack.clip: "),
            ("attack.target=10", "attack.target: "),
            ("attack.random=true", "attack.poison: "),
            ("attack.colour=3", "`colour`"),
        ] {
            let message = refused(&[setting]);
            assert!(message.contains(key), "{message}");
        }
        let unused = refused(&["attack.poison=label-flip", "attack.share=0.5"]);
        assert!(unused.contains("attack.poison: "), "{unused}");
        assert!(ModelReplacement::default().check(&conditions(&[28, 28])).is_ok());
    }
}
