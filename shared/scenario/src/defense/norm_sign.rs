//! SignGuard: updates of an unusual length, or with unusual signs, are removed.

use std::collections::BTreeSet;

use input::unfit::{Unfit, require};
use learning::random::{Purpose, stream};
use rand::seq::index::sample;
use robust::{Byzantine, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clusters::largest_by_mean_shift;
use super::lengths::{clipped, median};
use super::{DefenseError, Gate, Passed, Stage};

/// Removes updates whose length is unusual, or whose shares of signs are, and cuts the others to the median length (SignGuard; Xu
/// et al. 2022).
///
/// Usual lengths are `lower` to `upper` times the median length. Usual signs are those of the largest cluster of the shares of
/// positive, zero and negative values among some coordinates, which are drawn in each round. Where no update is usual in both, those
/// of a usual length are kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NormSign {
    /// The least length, in lengths of the median update.
    pub lower: f64,
    /// The greatest length, in lengths of the median update.
    pub upper: f64,
    /// The share of the coordinates whose signs are counted.
    pub coordinates: f64,
}

impl Default for NormSign {
    fn default() -> Self {
        NormSign { lower: 0.1, upper: 3.0, coordinates: 0.1 }
    }
}

impl Stage for NormSign {
    fn check(&self) -> Result<(), Unfit> {
        require((0.0..=1.0).contains(&self.lower), "defense.lower", || {
            format!("{} must be from 0 to 1", self.lower)
        })?;
        require(self.upper >= 1.0, "defense.upper", || format!("{} must be at least 1", self.upper))?;
        require(self.coordinates > 0.0 && self.coordinates <= 1.0, "defense.coordinates", || {
            format!("{} must be above 0 and at most 1", self.coordinates)
        })
    }

    fn leaves(&self, devices: usize, _: Byzantine) -> usize {
        devices.min(1)
    }

    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let dimension = gate.updates.dimension();
        let count =
            ((self.coordinates * dimension as f64) as usize).clamp(1, dimension.max(1)).min(dimension);
        let mut random = stream(gate.seed, Purpose::Coordinates, None, gate.round);
        self.by_columns(gate, &sample(&mut random, dimension, count).into_vec())
    }
}

impl NormSign {
    /// What passes, where the signs of these coordinates are counted.
    pub(super) fn by_columns(&self, gate: &Gate<'_>, columns: &[usize]) -> Result<Passed, DefenseError> {
        let (gram, devices) = (gate.updates.gram(&[])?, gate.devices.len());
        let norms = gram.norms();
        let median = median(&norms);
        let usual = |row: &usize| (self.lower * median..=self.upper * median).contains(&norms[*row]);
        let usual_lengths: BTreeSet<usize> = (0..devices).filter(usual).collect();
        let usual_signs: BTreeSet<usize> =
            largest_by_mean_shift(&signs(gate, columns)?).into_iter().collect();
        let both = &usual_lengths & &usual_signs;
        let kept = if both.is_empty() { usual_lengths } else { both };
        Ok(clipped(&kept.into_iter().collect::<Vec<_>>(), &norms, median, None))
    }
}

/// For each update the shares of positive, zero and negative values among some coordinates.
fn signs(gate: &Gate<'_>, columns: &[usize]) -> Result<Vec<[f64; 3]>, DefenseError> {
    let share = |row: &Vec<f32>, sign: fn(f32) -> bool| {
        row.iter().filter(|value| sign(**value)).count() as f64 / columns.len().max(1) as f64
    };
    let shares = |row: &Vec<f32>| {
        [share(row, |value| value > 0.0), share(row, |value| value == 0.0), share(row, |value| value < 0.0)]
    };
    Ok(gate.updates.sample(columns)?.iter().map(shares).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Passing, refused};
    use super::*;

    #[test]
    fn unusual_lengths_and_signs_are_removed_and_the_rest_is_cut() {
        let like = |scale: f32| -> Vec<f32> {
            (0..20).map(|j| scale * if j % 4 == 0 { -1.0 } else { 1.0 }).collect()
        };
        let models = vec![like(1.0), like(1.1), like(0.9), like(1.0), like(50.0), like(-1.0)];
        let stage = NormSign { coordinates: 1.0, ..NormSign::default() };
        let passed = Passing::of(&models).by(&stage);
        assert_eq!(passed.removed, [4, 5]);
        let length = |row: &Vec<f32>| row.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((length(&passed.models[1]) - length(&like(1.0))).abs() < 1e-4);
        assert_eq!(passed.models[2], like(0.9));
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for (setting, key) in
            [("lower=-1.0", "lower"), ("upper=0.5", "upper"), ("coordinates=0.0", "coordinates")]
        {
            let refused = refused("norm-sign", setting);
            assert!(refused.contains(&format!("defense.{key}: ")), "{refused}");
        }
    }
}
