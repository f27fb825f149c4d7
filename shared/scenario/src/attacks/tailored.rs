//! The attack tailored to the rule.

use candle_core::Tensor;
use input::unfit::Unfit;
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::search::farthest_factor;
use super::shift::Shift;
use super::{Attack, AttackError, Conditions, Knowledge, Needs, Perturbation, View};

/// Away from the mean update as far as moves the aggregate of the rule under attack most (Shejwalkar and
/// Houmansadr 2021, attacks with knowledge of the rule).
///
/// Each compromised device sends μ + γp, where μ is the mean of the known honest updates and p is the
/// perturbation. The attacker tries 32 values of γ out on the rule and takes the one whose aggregate lies
/// farthest from μ. It begins where the crafted update lies as far from μ as the farthest known one, as in
/// `min-sum`, and goes from a 256th of that to 1,024 times as far. If the rule refuses the updates that it is
/// tried on, what is sent lies where the search begins.
///
/// Under partial knowledge the compromised devices' own updates stand for those of the benign devices, in
/// turn. What a rule keeps from round to round and the stages before it are not tried. For Multi-Krum the
/// paper takes the largest γ with which all that is crafted is selected; here the aggregate decides for this
/// rule as for all others.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tailored {
    /// What the attacker knows.
    pub knowledge: Knowledge,
    /// Which way crafted updates are shifted away from the mean update.
    pub direction: Perturbation,
}

impl Attack for Tailored {
    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        self.knowledge.check_spread(conditions)
    }

    fn needs(&self) -> Needs {
        self.knowledge.needs()
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let shift = Shift::of(view, &self.knowledge.rows(view), self.direction)?;
        let unit = shift.factor(shift.farthest());
        let farthest = farthest_factor(view, self.knowledge, unit, |factor| shift.crafted(factor))?;
        let crafted = shift.crafted(farthest.unwrap_or(unit))?;
        Ok(Some(crafted.repeat((view.colluders.len(), 1))?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use robust::{Byzantine, Executor as _, Processors, Updates};

    use super::super::testing::{crafted, distance, perturbed, refused, scenario};
    use crate::Scenario;

    fn tailored(settings: &[&str]) -> Scenario {
        let fleet = ["attack.kind=tailored", "fleet.devices=10", "fleet.compromised=3"];
        scenario(&[&fleet, settings].concat())
    }

    /// How far the rule of `scenario` is from the mean of what is known with `sent` and the `honest` models.
    fn moved(scenario: &Scenario, known: &[Vec<f32>], sent: &[f32], honest: &[Vec<f32>]) -> f64 {
        let rows: Vec<&[f32]> = [sent; 3].into_iter().chain(honest.iter().map(Vec::as_slice)).collect();
        let updates = Updates::new(&rows, None).unwrap();
        let byzantine = Byzantine::of(scenario.byzantine() as usize);
        let aggregate = Processors.aggregate(&*scenario.aggregation.rule, &updates, byzantine).unwrap();
        distance(&aggregate.values, &perturbed(known, &vec![0.0; sent.len()], "deviation", 0.0))
    }

    #[test]
    fn a_rule_that_refuses_the_models_has_what_is_sent_lie_as_far_as_in_min_sum() {
        // Krum takes 9 devices where 3 are assumed to be Byzantine, and 6 answer.
        let models: Vec<Vec<f32>> = (0..6).map(|i| vec![(i * i) as f32, i as f32]).collect();
        let settings = ["attack.knowledge=full", "aggregation.rule=krum"];
        let sent = crafted(&tailored(&settings), &[0.0; 2], &models, &[0, 1, 2]).unwrap();
        let min_sum = scenario(&["attack.kind=min-sum", "attack.knowledge=full"]);
        assert_eq!(sent, crafted(&min_sum, &[0.0; 2], &models, &[0, 1, 2]).unwrap());
    }

    #[test]
    fn updates_that_are_all_alike_are_sent_as_they_are() {
        let models = vec![vec![2.0, 3.0]; 10];
        let sent = crafted(&tailored(&["aggregation.rule=median"]), &[0.0; 2], &models, &[0, 1, 2]).unwrap();
        assert_eq!(sent, models[..3]);
    }

    #[test]
    fn a_single_colluder_that_knows_no_others_is_refused() {
        let alone = refused(&["attack.kind=tailored", "fleet.compromised=1"]);
        assert!(alone.contains("fleet.compromised: 1 is less than the 2 devices"), "{alone}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_factor_of_a_literal_search_moves_the_rule_much_farther(
            models in vec(vec(-50.0..50.0_f32, 4), 10),
            rule in 0..3_usize,
            direction in 0..3_usize,
            is_full in any::<bool>(),
        ) {
            let rule = ["median", "trimmed-mean", "multi-krum"][rule];
            let direction = ["deviation", "unit", "sign"][direction];
            let scenario = tailored(&[
                if is_full { "attack.knowledge=full" } else { "attack.knowledge=partial" },
                &format!("attack.direction={direction}"),
                &format!("aggregation.rule={rule}"),
            ]);
            let known = if is_full { models.clone() } else { models[..3].to_vec() };
            let honest: Vec<_> =
                if is_full { models[3..].to_vec() } else { known.iter().cycle().take(7).cloned().collect() };
            let sent = crafted(&scenario, &[0.0; 4], &models, &[0, 1, 2]).unwrap();
            prop_assert!(sent[0] == sent[1] && sent[1] == sent[2]);
            let found = moved(&scenario, &known, &sent[0], &honest);
            let tried = |power: i32| {
                let model = perturbed(&known, &[0.0; 4], direction, 1.1_f64.powi(power));
                moved(&scenario, &known, &model, &honest)
            };
            let best = (-50..70).map(tried).fold(0.0, f64::max);
            // What Multi-Krum makes of so few devices leaps up and down.
            let share = if rule == "multi-krum" { 0.5 } else { 0.99 };
            prop_assert!(found >= share * best, "{rule}: {found}, where {best} can be had");
        }
    }
}
