//! The free rider that sends the global model back.

use candle_core::Tensor;
use input::unfit::{Unfit, fits_f32, require};
use learning::random::Stream;
use rand_distr::{Distribution, StandardNormal};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::finite;
use super::{Attack, AttackError, Conditions, Needs, View};

/// A free rider: compromised devices send the global model back as it came, or with a little noise (Fraboni
/// et al. 2021).
///
/// The update is zero, and so this is also the attack that elsewhere is called `zero`. With a `deviation`, it
/// is the same as `noise` that is sent alone: a disguise against a check for updates of zeros.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GlobalCopy {
    /// The standard deviation of normal noise on every coordinate; each device draws its own.
    pub deviation: f64,
}

impl Attack for GlobalCopy {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require(fits_f32(self.deviation) && self.deviation >= 0.0, "attack.deviation", || {
            format!("{} must be a number of at least 0 that a 32-bit float holds", self.deviation)
        })
    }

    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn draw(&self, _: usize, random: &mut Stream, values: &mut [f64]) {
        if self.deviation > 0.0 {
            values.fill_with(|| StandardNormal.sample(random));
        }
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        Ok(Some(finite(&(view.draws()? * self.deviation)?.broadcast_add(&view.origin()?)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{crafted, refused, scenario};

    fn craft(settings: &[&str]) -> Vec<Vec<f32>> {
        let models = [[2.0, 10.0], [7.0, 9.0], [4.0, 14.0]].map(Vec::from);
        let scenario = scenario(&[&["attack.kind=copy"], settings].concat());
        crafted(&scenario, &[0.1, 10.0], &models, &[0, 2]).unwrap()
    }

    #[test]
    fn the_global_model_goes_back_as_it_came() {
        assert_eq!(craft(&[]), [[0.1, 10.0], [0.1, 10.0]]);
    }

    #[test]
    fn with_a_deviation_it_is_noise_alone() {
        let copied = craft(&["attack.deviation=0.5"]);
        let models = [[2.0, 10.0], [7.0, 9.0], [4.0, 14.0]].map(Vec::from);
        let noise = scenario(&["attack.kind=noise", "attack.deviation=0.5", "attack.alone=true"]);
        assert_eq!(copied, crafted(&noise, &[0.1, 10.0], &models, &[0, 2]).unwrap());
        assert_ne!(copied[0], copied[1]);
    }

    #[test]
    fn a_deviation_below_zero_is_refused() {
        for deviation in ["-0.1", "nan", "1e39"] {
            let text = refused(&["attack.kind=copy", &format!("attack.deviation={deviation}")]);
            assert!(text.contains("attack.deviation: "), "{text}");
        }
    }
}
