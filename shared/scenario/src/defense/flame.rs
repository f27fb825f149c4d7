//! FLAME: the densest half by angle, cut to the median length, with noise.

use input::unfit::{Unfit, require};
use robust::{Byzantine, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clusters::densest;
use super::lengths::{clipped, median, noise};
use super::{DefenseError, Gate, Passed, Stage};

/// Keeps the densest cluster of more than half of the updates by their angles, cuts these to the median length of all, and adds
/// noise to the aggregate (FLAME; Nguyen et al. 2022).
///
/// The cluster is that of HDBSCAN on cosine distances, of at least m / 2 + 1 updates. The noise has a standard deviation of `noise`
/// times the median length.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Flame {
    /// The standard deviation of the noise in each coordinate, in median lengths (the paper's lambda).
    pub noise: f64,
}

impl Default for Flame {
    fn default() -> Self {
        Flame { noise: 0.001 }
    }
}

impl Stage for Flame {
    fn check(&self) -> Result<(), Unfit> {
        require(self.noise >= 0.0 && self.noise.is_finite(), "defense.noise", || {
            format!("{} must be a number that is not negative", self.noise)
        })
    }

    fn leaves(&self, devices: usize, _: Byzantine) -> usize {
        devices.min(devices / 2 + 1)
    }

    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let (gram, devices) = (gate.updates.gram(&[])?, gate.devices.len());
        let norms = gram.norms();
        let median = median(&norms);
        let kept = densest(devices, devices / 2 + 1, |a, b| 1.0 - gram.cosine(a, b));
        Ok(clipped(&kept, &norms, median, noise(gate, self.noise * median).as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Passing, refused};
    use super::*;

    #[test]
    fn the_densest_half_is_kept_and_cut_to_the_median_length_of_all() {
        let models = [[1.0, 0.1], [2.0, 0.2], [0.0, 1.0], [3.0, 0.4], [0.0, 9.0]];
        let passed = Passing::of(&models).by(&Flame { noise: 0.0 });
        assert_eq!(passed.removed, [2, 4]);
        let median = 2.0 * 1.01_f32.sqrt();
        assert_eq!(passed.models[..2], models[..2]);
        assert!((passed.models[2][0] - 3.0 * median / 9.16_f32.sqrt()).abs() < 1e-5);
    }

    #[test]
    fn the_noise_is_as_large_as_the_median_length_says() {
        let models = vec![vec![1.0; 4_000]; 3];
        let passed = Passing::of(&models).by(&Flame { noise: 0.01 });
        let noise: Vec<f32> = passed.models[0].iter().map(|value| value - 1.0).collect();
        let deviation = (noise.iter().map(|value| value * value).sum::<f32>() / 4_000.0).sqrt();
        assert!((deviation / (0.01 * 4_000.0_f32.sqrt()) - 1.0).abs() < 0.05, "{deviation}");
        assert!(
            passed
                .models
                .iter()
                .all(|model| model.iter().zip(&passed.models[0]).all(|(a, b)| (a - b).abs() < 1e-6))
        );
    }

    #[test]
    fn negative_noise_is_refused() {
        assert!(refused("flame", "noise=-0.1").contains("defense.noise: "));
    }
}
