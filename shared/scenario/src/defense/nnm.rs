//! Nearest neighbour mixing.

use robust::{Combination, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DefenseError, Gate, Mixture, Passed, Stage};

/// Puts the mean of its m - c nearest, itself among them, in place of each of m updates (nearest neighbour mixing; Allouah et al.
/// 2023).
///
/// Of updates equally far, those of the lowest devices are nearer.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NearestNeighbourMixing {}

impl Stage for NearestNeighbourMixing {
    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let (gram, devices) = (gate.updates.gram(&[])?, gate.devices.len());
        let count = devices.saturating_sub(gate.updates.byzantine().left()).max(1);
        let mixture = |place: usize| {
            let distance =
                |other: usize| if other == place { -1.0 } else { gram.squared_distance(place, other) };
            let mut nearest: Vec<(f64, usize)> = (0..devices).map(|other| (distance(other), other)).collect();
            nearest.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut weights = vec![0.0; devices];
            nearest[..count].iter().for_each(|(_, other)| weights[*other] = 1.0 / count as f64);
            Mixture { place, of: Combination::of(weights) }
        };
        Ok(Passed::Mixed((0..devices).map(mixture).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Passing;
    use super::*;

    #[test]
    fn each_becomes_the_mean_of_its_nearest() {
        let passing = Passing::of(&[[0.0], [2.0], [4.0], [100.0]]);
        // Of 0 and 4, which are equally far from 2, 0 comes first.
        assert_eq!(passing.assuming(2).by(&NearestNeighbourMixing {}).models, [[1.0], [1.0], [3.0], [52.0]]);
        assert_eq!(passing.assuming(0).by(&NearestNeighbourMixing {}).models, [[26.5]; 4]);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            models in (3..9_usize, 1..5_usize).prop_flat_map(|(m, d)| prop::collection::vec(prop::collection::vec(-50.0..50.0_f32, d), m)),
            c in 0..4_usize,
        ) {
            let c = c.min((models.len() - 1) / 2);
            let square = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
            let passed = Passing::of(&models).assuming(c).by(&NearestNeighbourMixing {}).models;
            for (model, passed) in models.iter().zip(passed) {
                let mut nearest = models.clone();
                nearest.sort_by(|a, b| square(a, model).total_cmp(&square(b, model)));
                nearest.truncate(models.len() - c);
                for (column, passed) in passed.iter().enumerate() {
                    let mean = nearest.iter().map(|row| row[column]).sum::<f32>() / nearest.len() as f32;
                    prop_assert!((passed - mean).abs() < 1e-3, "{passed} {mean}");
                }
            }
        }
    }
}
