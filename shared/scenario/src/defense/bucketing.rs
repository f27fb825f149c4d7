//! Bucketing: means of a few updates each.

use input::unfit::{Unfit, at_least_one};
use learning::random::{Purpose, stream};
use rand::seq::SliceRandom as _;
use robust::{Byzantine, Combination, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DefenseError, Gate, Mixture, Passed, Stage};

/// Puts the means of groups of `size` updates in their place, drawn anew in each round (Karimireddy et al. 2022).
///
/// The rule then assumes as many Byzantine devices among fewer. The last group is smaller where the updates do not divide.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bucketing {
    /// Updates in a group (the paper's s).
    pub size: u32,
}

impl Default for Bucketing {
    fn default() -> Self {
        Bucketing { size: 2 }
    }
}

impl Stage for Bucketing {
    fn check(&self) -> Result<(), Unfit> {
        at_least_one("defense.size", self.size)
    }

    fn leaves(&self, devices: usize, _: Byzantine) -> usize {
        devices.div_ceil(self.size as usize)
    }

    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let devices = gate.devices.len();
        let mut order: Vec<usize> = (0..devices).collect();
        order.shuffle(&mut stream(gate.seed, Purpose::Bucketing, None, gate.round));
        Ok(self.grouped(&order))
    }
}

impl Bucketing {
    /// The means of groups of rows that follow each other in this order.
    pub(super) fn grouped(&self, order: &[usize]) -> Passed {
        let devices = order.len();
        let mixture = |group: &[usize]| {
            let mut weights = vec![0.0; devices];
            group.iter().for_each(|row| weights[*row] = 1.0 / group.len() as f64);
            Mixture { place: group.iter().copied().min().unwrap_or_default(), of: Combination::of(weights) }
        };
        let mut mixtures: Vec<Mixture> = order.chunks(self.size as usize).map(mixture).collect();
        mixtures.sort_by_key(|mixture| mixture.place);
        Passed::Mixed(mixtures)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::testing::{Passing, refused};
    use super::*;

    #[test]
    fn every_update_is_in_one_group_and_groups_are_drawn_anew() {
        let models: Vec<Vec<f32>> =
            (0..7).map(|row| (0..7).map(|j| f32::from(u8::from(row == j))).collect()).collect();
        let of = |round| Passing::of(&models).in_round(round).by(&Bucketing { size: 3 });
        let passed = of(1);
        assert_eq!(passed.models.len(), 3);
        for column in 0..7 {
            let shares: Vec<f32> =
                passed.models.iter().map(|row| row[column]).filter(|share| *share > 0.0).collect();
            assert!(shares == [1.0] || shares == [1.0 / 3.0], "{shares:?}");
        }
        assert!(passed.devices.is_sorted() && passed.removed.is_empty());
        assert_eq!(of(1).models, passed.models);
        assert!((2..9).map(|round| format!("{:?}", of(round).models)).collect::<BTreeSet<_>>().len() > 1);
    }

    #[test]
    fn groups_of_none_are_refused() {
        assert!(refused("bucketing", "size=0").contains("defense.size: "));
    }
}
