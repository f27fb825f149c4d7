//! Noise in place of an update, or on top of it.

use candle_core::{DType, Tensor};
use input::unfit::{Unfit, fits_f32, require};
use learning::random::Stream;
use rand_distr::{Distribution, StandardNormal};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::finite;
use super::{Attack, AttackError, Conditions, Needs, View};

/// Each compromised device adds normal noise to every coordinate of its update, or sends noise alone.
///
/// Every device draws its own. A normal that is fitted to honest models is the attack `gaussian`; noise as
/// long as an honest update is `random`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Noise {
    /// The mean of the noise.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
    /// Whether the noise is sent alone, in place of the update.
    pub alone: bool,
}

impl Default for Noise {
    fn default() -> Self {
        Noise { mean: 0.0, deviation: 0.1, alone: false }
    }
}

impl Attack for Noise {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        let Noise { mean, deviation, .. } = *self;
        require(fits_f32(mean), "attack.mean", || {
            format!("{mean} must be a number that a 32-bit float holds")
        })?;
        require(fits_f32(deviation) && deviation >= 0.0, "attack.deviation", || {
            format!("{deviation} must be a number of at least 0 that a 32-bit float holds")
        })?;
        require(mean != 0.0 || deviation > 0.0, "attack.deviation", || {
            "0 around a mean of 0 is no noise; the attack `copy` sends updates of zeros".to_owned()
        })
    }

    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn draw(&self, _: usize, random: &mut Stream, values: &mut [f64]) {
        values.fill_with(|| StandardNormal.sample(random));
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let noise = ((view.draws()? * self.deviation)? + self.mean)?;
        let crafted = if self.alone {
            noise.broadcast_add(&view.origin()?)?
        } else {
            (view.rows(view.colluders)?.to_dtype(DType::F64)? + noise)?
        };
        Ok(Some(finite(&crafted)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{crafted, refused, scenario};

    const D: usize = 20_000;

    /// What the second and the third of three devices send, less `from`: mean and deviation over the
    /// coordinates.
    fn moments(settings: &[&str], from: [f32; 2]) -> Vec<(f64, f64)> {
        let models = [-1.0, 3.0, 5.0].map(|value| vec![value; D]);
        let scenario = scenario(&[&["attack.kind=noise"], settings].concat());
        let sent = crafted(&scenario, &vec![2.0; D], &models, &[1, 2]).unwrap();
        assert_ne!(sent[0][..9], sent[1][..9]);
        let moments = |(model, from): (&Vec<f32>, f32)| {
            let values = || model.iter().map(|value| f64::from(value - from));
            let mean = values().sum::<f64>() / D as f64;
            (mean, (values().map(|value| (value - mean).powi(2)).sum::<f64>() / D as f64).sqrt())
        };
        sent.iter().zip(from).map(moments).collect()
    }

    fn assert_near(moments: &[(f64, f64)], mean: f64, deviation: f64) {
        for (found_mean, found_deviation) in moments {
            assert!((found_mean - mean).abs() < 0.04 * deviation, "{found_mean}, not {mean}");
            assert!((found_deviation / deviation - 1.0).abs() < 0.03, "{found_deviation}, not {deviation}");
        }
    }

    #[test]
    fn noise_is_added_to_each_device_s_own_update() {
        assert_near(&moments(&[], [3.0, 5.0]), 0.0, 0.1);
        assert_near(&moments(&["attack.mean=-4.0", "attack.deviation=2.0"], [3.0, 5.0]), -4.0, 2.0);
    }

    #[test]
    fn noise_alone_is_an_update_of_the_global_model() {
        let alone = ["attack.alone=true", "attack.mean=7.0", "attack.deviation=0.5"];
        assert_near(&moments(&alone, [2.0, 2.0]), 7.0, 0.5);
    }

    #[test]
    fn noise_beyond_all_numbers_ends_at_the_last_one() {
        let scenario = scenario(&["attack.kind=noise", "attack.mean=3e38"]);
        assert_eq!(crafted(&scenario, &[0.0], &[vec![3e38]], &[0]).unwrap(), [[f32::MAX]]);
    }

    #[test]
    fn settings_that_make_no_noise_are_refused() {
        for (setting, key) in [
            ("attack.deviation=0.0", "attack.deviation: 0 around"),
            ("attack.deviation=-1.0", "attack.deviation: -1 "),
            ("attack.deviation=nan", "attack.deviation: NaN"),
            ("attack.mean=inf", "attack.mean: inf"),
        ] {
            let text = refused(&["attack.kind=noise", setting]);
            assert!(text.contains(key), "{text}");
        }
        scenario(&["attack.kind=noise", "attack.deviation=0.0", "attack.mean=1.0"]);
    }
}
