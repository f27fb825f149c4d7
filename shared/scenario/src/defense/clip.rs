//! Clipping: no update is longer than a limit.

use input::unfit::{Unfit, fits_f32, require};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lengths::{noise, scaled, shares};
use super::{DefenseError, Gate, Passed, Stage};

/// Cuts updates that are longer than `norm` to that length (Sun et al. 2019); with `noise`, adds some to the aggregate ("weak
/// differential privacy").
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Clip {
    /// The greatest length.
    pub norm: f64,
    /// The standard deviation of what is added to each coordinate of the aggregate: of what a rule makes of the updates, each
    /// with the same noise.
    pub noise: f64,
}

impl Default for Clip {
    fn default() -> Self {
        Clip { norm: 2.0, noise: 0.0 }
    }
}

impl Stage for Clip {
    fn check(&self) -> Result<(), Unfit> {
        require(fits_f32(self.norm) && self.norm > 0.0, "defense.norm", || {
            format!("{} must be a number above 0 that a 32-bit float holds", self.norm)
        })?;
        require(fits_f32(self.noise) && self.noise >= 0.0, "defense.noise", || {
            format!("{} must be a number that is not negative, and that a 32-bit float holds", self.noise)
        })
    }

    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let shares = shares(&gate.updates.gram(&[])?.norms(), self.norm);
        Ok(scaled(&shares, noise(gate, self.noise).as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Passing, refused};
    use super::*;

    #[test]
    fn longer_updates_are_cut_and_others_stay_as_they_are() {
        let models = [[1.0, 2.0], [5.0, 1.0], [1.0, 1.0]];
        let passed = Passing::of(&models).from(&[1.0, 1.0]).by(&Clip { norm: 2.0, noise: 0.0 });
        assert_eq!(passed.models, [[1.0, 2.0], [3.0, 1.0], [1.0, 1.0]]);
        let passed = Passing::of(&models).from(&[1.0, 1.0]).by(&Clip { norm: 4.0, noise: 0.0 });
        assert_eq!(passed.models, models);
    }

    #[test]
    fn all_have_the_same_noise_and_every_round_has_its_own() {
        let models = [[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]];
        let of = |round| Passing::of(&models).in_round(round).by(&Clip { norm: 2.0, noise: 0.5 }).models;
        let (first, second) = (of(1), of(2));
        for column in 0..3 {
            let noise = first[0][column] - models[0][column];
            assert!((first[1][column] - models[1][column] - noise).abs() < 1e-6);
        }
        assert_eq!(of(1), first);
        assert_ne!(first, second);
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for (setting, key) in [("norm=0.0", "norm"), ("norm=nan", "norm"), ("noise=-1.0", "noise")] {
            let refused = refused("clip", setting);
            assert!(refused.contains(&format!("defense.{key}: ")), "{refused}");
        }
    }
}
