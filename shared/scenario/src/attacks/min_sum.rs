//! The Min-Sum attack.

use candle_core::Tensor;
use input::unfit::Unfit;
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shift::Shift;
use super::{Attack, AttackError, Conditions, Knowledge, Needs, Perturbation, View};

/// Away from the mean update as far as the squares of its distances to the known updates add up to no more
/// than those of one of these (Shejwalkar and Houmansadr 2021).
///
/// Each compromised device sends μ + γp, where μ is the mean of the known honest updates, p is the
/// perturbation and γ is the largest for which the sum is at most the bound. For n known updates, the sum of
/// an update at the distance r from their mean is n r² and what they add up to around their mean: so γ is
/// that for which the crafted update lies as far from the mean as the farthest known one, or the nearest. The
/// paper searches for it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MinSum {
    /// What the attacker knows.
    pub knowledge: Knowledge,
    /// Which way crafted updates are shifted away from the mean update.
    pub direction: Perturbation,
    /// Which known update's sum is the bound.
    pub bound: SumBound,
}

/// Which known update's sum of squared distances to the others bounds that of a crafted one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SumBound {
    /// That of the farthest, as in the paper.
    #[default]
    Largest,
    /// That of the most central one, as in the authors' code.
    Least,
}

impl Attack for MinSum {
    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        self.knowledge.check_spread(conditions)
    }

    fn needs(&self) -> Needs {
        self.knowledge.needs()
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let shift = Shift::of(view, &self.knowledge.rows(view), self.direction)?;
        let squared_distance = match self.bound {
            SumBound::Largest => shift.farthest(),
            SumBound::Least => shift.nearest(),
        };
        let crafted = shift.crafted(shift.factor(squared_distance))?;
        Ok(Some(crafted.repeat((view.colluders.len(), 1))?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::testing::{crafted, distance, perturbed, refused, scenario};

    fn craft(settings: &[&str], models: &[Vec<f32>], colluders: &[usize]) -> Vec<Vec<f32>> {
        let scenario = scenario(&[&["attack.kind=min-sum"], settings].concat());
        crafted(&scenario, &vec![0.5; models[0].len()], models, colluders).unwrap()
    }

    #[test]
    fn what_is_sent_lies_as_far_from_the_mean_as_the_farthest_update_or_the_nearest() {
        // The mean is 4; the updates lie 3, 2, and 5 from it.
        let models = [vec![1.0], vec![2.0], vec![9.0]];
        let full = ["attack.knowledge=full", "attack.direction=unit"];
        assert_eq!(craft(&full, &models, &[0]), [[-1.0]]);
        assert_eq!(craft(&[&full[..], &["attack.bound=least"]].concat(), &models, &[0]), [[2.0]]);
    }

    #[test]
    fn updates_that_are_all_alike_leave_no_room() {
        let models = vec![vec![2.0, 3.0]; 3];
        for direction in ["deviation", "unit", "sign"] {
            assert_eq!(craft(&[&format!("attack.direction={direction}")], &models, &[0, 1]), models[..2]);
        }
    }

    #[test]
    fn a_mean_that_stands_still_has_no_direction_but_the_deviation() {
        let models = [vec![0.0], vec![1.0]];
        for (direction, sent) in [("unit", 0.5), ("sign", 0.5), ("deviation", 0.0)] {
            assert_eq!(
                craft(&[&format!("attack.direction={direction}")], &models, &[0, 1]),
                [[sent], [sent]]
            );
        }
    }

    #[test]
    fn a_single_colluder_that_knows_no_others_is_refused() {
        let alone = refused(&["attack.kind=min-sum", "fleet.compromised=1"]);
        assert!(alone.contains("fleet.compromised: 1 is less than the 2 devices"), "{alone}");
    }

    proptest! {
        #[test]
        fn the_factor_is_the_largest_of_a_literal_search(
            models in vec(vec(-50.0..50.0_f32, 4), 3..9),
            direction in 0..3_usize,
            (is_full, is_least) in any::<(bool, bool)>(),
        ) {
            let direction = ["deviation", "unit", "sign"][direction];
            let colluders = [0, 2];
            let known =
                if is_full { models.clone() } else { colluders.map(|row| models[row].clone()).to_vec() };
            let sum = |model: &[f32]| known.iter().map(|known| distance(model, known).powi(2)).sum::<f64>();
            let sums = known.iter().map(|model| sum(model));
            let bound =
                if is_least { sums.fold(f64::INFINITY, f64::min) } else { sums.fold(0.0, f64::max) };
            let (mut low, mut high) = (0.0, 1e6);
            for _ in 0..100 {
                let middle = f64::midpoint(low, high);
                let model = perturbed(&known, &[0.5; 4], direction, middle);
                *(if sum(&model) <= bound { &mut low } else { &mut high }) = middle;
            }
            let expected = perturbed(&known, &[0.5; 4], direction, low);
            let (knowledge, bound_of) = (
                if is_full { "attack.knowledge=full" } else { "attack.knowledge=partial" },
                if is_least { "attack.bound=least" } else { "attack.bound=largest" },
            );
            let settings = [knowledge, bound_of, &format!("attack.direction={direction}")];
            for model in craft(&settings, &models, &colluders) {
                let off = distance(&model, &expected);
                prop_assert!(off <= 1e-3 * bound.sqrt(), "{model:?}, not {expected:?}");
            }
        }
    }
}
