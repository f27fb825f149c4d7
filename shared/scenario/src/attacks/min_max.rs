//! The Min-Max attack.

use candle_core::Tensor;
use input::unfit::Unfit;
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shift::{Offset, Shift};
use super::{Attack, AttackError, Conditions, Knowledge, Needs, Perturbation, View};

/// Away from the mean update as far as no known update is farther than two of them are from each other
/// (Shejwalkar and Houmansadr 2021).
///
/// Each compromised device sends μ + γp, where μ is the mean of the known honest updates, p is the
/// perturbation and γ is the largest for which the distance to every known update is at most the largest
/// distance between two of them. The paper searches for γ; it is the least root of as many quadratic
/// equations as there are known updates. The length of p makes no difference.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MinMax {
    /// What the attacker knows.
    pub knowledge: Knowledge,
    /// Which way crafted updates are shifted away from the mean update.
    pub direction: Perturbation,
}

impl Attack for MinMax {
    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        self.knowledge.check_spread(conditions)
    }

    fn needs(&self) -> Needs {
        self.knowledge.needs()
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let known = self.knowledge.rows(view);
        let shift = Shift::of(view, &known, self.direction)?;
        let distances = view.executor.measure(view.updates(&view.rows(&known)?)).distances()?;
        let farthest =
            |row: usize| distances.nearest_first(row).last().map_or(0.0, |(_, distance)| *distance);
        let largest = (0..known.len()).map(farthest).fold(0.0, f64::max);
        let crafted = shift.crafted(factor(&shift, largest.powi(2)))?;
        Ok(Some(crafted.repeat((view.colluders.len(), 1))?))
    }
}

/// The largest γ that leaves the square of the distance to each known update at most at `bound`; 0 where
/// there is no direction.
fn factor(shift: &Shift, bound: f64) -> f64 {
    if shift.squared <= 0.0 {
        return 0.0;
    }
    let root = |offset: &Offset| {
        // γ²|p|² + 2γ p·(μ - u) + |μ - u|² = bound. The mean is no farther than that, but for rounding.
        let (along, room) = (offset.along, (bound - offset.squared).max(0.0));
        let reach = (along * along + shift.squared * room).sqrt();
        // Of two forms of the root, the one that takes no difference of near numbers.
        if along > 0.0 { room / (along + reach) } else { (reach - along) / shift.squared }
    };
    shift.offsets.iter().map(root).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::testing::{crafted, refused, scenario};
    use super::super::testing::{distance, perturbed};

    const DIRECTIONS: [&str; 3] = ["deviation", "unit", "sign"];

    fn craft(direction: &str, knowledge: &str, models: &[Vec<f32>], colluders: &[usize]) -> Vec<Vec<f32>> {
        let (direction, knowledge) =
            (format!("attack.direction={direction}"), format!("attack.knowledge={knowledge}"));
        let scenario = scenario(&["attack.kind=min-max", &direction, &knowledge]);
        crafted(&scenario, &vec![0.5; models[0].len()], models, colluders).unwrap()
    }

    /// The largest distance between two of the models.
    fn diameter(models: &[Vec<f32>]) -> f64 {
        let from = |a: &Vec<f32>| models.iter().map(|b| distance(a, b)).fold(0.0, f64::max);
        models.iter().map(from).fold(0.0, f64::max)
    }

    #[test]
    fn what_is_sent_is_as_far_from_the_farthest_update_as_two_of_them_are_from_each_other() {
        // The mean is 3, the deviation 2, and 5 may be 4 away at most.
        let models = [vec![1.0], vec![9.0], vec![5.0]];
        assert_eq!(craft("deviation", "partial", &models, &[0, 2]), [[1.0], [1.0]]);
        // The mean is 5, and 9 may be 8 away.
        let sent = &craft("unit", "full", &models, &[0, 2])[0];
        assert!((sent[0] - 1.0).abs() < 1e-5, "{sent:?}");
    }

    #[test]
    fn updates_that_are_all_alike_leave_no_room() {
        let models = vec![vec![2.0, 3.0]; 3];
        for direction in DIRECTIONS {
            assert_eq!(craft(direction, "full", &models, &[0, 1]), models[..2]);
        }
    }

    #[test]
    fn one_update_that_is_known_is_sent_as_it_is() {
        let models = [vec![2.0, 3.0], vec![5.0, 6.0]];
        for direction in DIRECTIONS {
            assert_eq!(craft(direction, "partial", &models, &[1]), models[1..]);
        }
    }

    #[test]
    fn a_single_colluder_that_knows_no_others_is_refused() {
        let alone = refused(&["attack.kind=min-max", "fleet.compromised=1"]);
        assert!(alone.contains("fleet.compromised: 1 is less than the 2 devices"), "{alone}");
        scenario(&["attack.kind=min-max", "fleet.compromised=2"]);
        scenario(&["attack.kind=min-max", "fleet.compromised=1", "attack.knowledge=full"]);
    }

    proptest! {
        #[test]
        fn the_factor_is_the_largest_of_a_literal_search(
            models in vec(vec(-50.0..50.0_f32, 4), 3..9),
            direction in 0..3_usize,
            is_full in any::<bool>(),
        ) {
            let direction = DIRECTIONS[direction];
            let colluders = [0, 2];
            let known =
                if is_full { models.clone() } else { colluders.map(|row| models[row].clone()).to_vec() };
            let bound = diameter(&known);
            let is_allowed = |model: &[f32]| known.iter().all(|known| distance(model, known) <= bound);
            let (mut low, mut high) = (0.0, 1e6);
            for _ in 0..100 {
                let middle = f64::midpoint(low, high);
                let model = perturbed(&known, &[0.5; 4], direction, middle);
                *(if is_allowed(&model) { &mut low } else { &mut high }) = middle;
            }
            let expected = perturbed(&known, &[0.5; 4], direction, low);
            let sent = craft(direction, if is_full { "full" } else { "partial" }, &models, &colluders);
            for model in &sent {
                prop_assert!(distance(model, &expected) <= 1e-4 * bound, "{model:?}, not {expected:?}");
            }
        }
    }
}
