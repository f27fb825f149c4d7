//! The inner-product manipulation attack.

use candle_core::Tensor;
use input::unfit::{Unfit, fits_f32, require};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::search::farthest_factor;
use super::statistics::{finite, mean};
use super::{Attack, AttackError, Conditions, Knowledge, Needs, View};

/// Against the mean update that the attacker knows, so that the aggregate's inner product with it may turn
/// negative (IPM; Xie et al. 2019).
///
/// Each compromised device sends the global model minus `epsilon` times that mean. With full knowledge the
/// mean is that of all honest updates, those of the accomplices among them; the paper takes those of benign
/// devices alone. With a small `epsilon` the update is shorter than those of honest devices, and near enough
/// to be taken by a rule that goes by distances.
///
/// With `optimise`, the attacker tries 32 factors from a 256th to 1,024 out on the rule, and takes the one
/// whose aggregate lies farthest from that mean; as in `tailored`, its accomplices' updates stand for those
/// of benign devices that it does not know.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct InnerProduct {
    /// What the attacker knows.
    pub knowledge: Knowledge,
    /// How many times as long as the mean update, and the other way (the paper's epsilon).
    pub epsilon: f64,
    /// Whether `epsilon` is found by trying the rule under attack out; what is set then counts only if the
    /// rule refuses that.
    pub optimise: bool,
}

impl Default for InnerProduct {
    fn default() -> Self {
        InnerProduct { knowledge: Knowledge::default(), epsilon: 0.1, optimise: false }
    }
}

impl Attack for InnerProduct {
    fn check(&self, _: &Conditions<'_>) -> Result<(), Unfit> {
        require(fits_f32(self.epsilon) && self.epsilon > 0.0, "attack.epsilon", || {
            format!("{} must be a number above 0 that a 32-bit float holds", self.epsilon)
        })
    }

    fn needs(&self) -> Needs {
        self.knowledge.needs()
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let origin = view.origin()?;
        let update = (mean(view.models, &self.knowledge.rows(view))? - &origin)?;
        let crafted = |epsilon: f64| finite(&(&origin - (&update * epsilon)?)?);
        let best = if self.optimise { farthest_factor(view, self.knowledge, 1.0, crafted)? } else { None };
        Ok(Some(crafted(best.unwrap_or(self.epsilon))?.repeat((view.colluders.len(), 1))?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{crafted, refused, scenario};

    /// The global model is [1, 10]; the first and the third of four devices are compromised.
    fn craft(settings: &[&str]) -> Vec<Vec<f32>> {
        let models = [[2.0, 10.0], [7.0, 9.0], [4.0, 14.0], [3.0, 7.0]].map(Vec::from);
        crafted(&scenario(settings), &[1.0, 10.0], &models, &[0, 2]).unwrap()
    }

    #[test]
    fn what_is_sent_lies_the_other_way_of_the_mean_update_that_is_known() {
        // The colluders' updates are [1, 0] and [3, 4], their mean [2, 2].
        let partial = craft(&["attack.kind=inner-product", "attack.epsilon=0.5"]);
        assert_eq!(partial, [[0.0, 9.0], [0.0, 9.0]]);
        // Everyone's are those, [6, -1] and [2, -3], their mean [3, 0].
        let full = craft(&["attack.kind=inner-product", "attack.knowledge=full", "attack.epsilon=2.0"]);
        assert_eq!(full, [[-5.0, 10.0], [-5.0, 10.0]]);
    }

    #[test]
    fn it_is_a_tenth_as_long_unless_said_otherwise() {
        let sent = &craft(&["attack.kind=inner-product"])[0];
        assert!((sent[0] - 0.8).abs() < 1e-6 && (sent[1] - 9.8).abs() < 1e-6, "{sent:?}");
    }

    #[test]
    fn a_factor_that_does_not_turn_the_update_is_refused() {
        for epsilon in ["0.0", "-1.0", "nan", "1e39"] {
            let refused = refused(&["attack.kind=inner-product", &format!("attack.epsilon={epsilon}")]);
            assert!(refused.contains("attack.epsilon: ") && refused.contains("above 0"), "{refused}");
        }
    }
    #[test]
    fn the_optimised_factor_moves_the_rule_farthest() {
        // Honest updates lie from -4.4 to 4.6 in steps of 1, and their mean is 0.1.
        let models: Vec<Vec<f32>> = (0..10).map(|i| vec![0.1 + (i as f32 - 4.5)]).collect();
        let fleet = ["attack.kind=inner-product", "attack.optimise=true", "attack.knowledge=full"];
        let with = |rule: &str| {
            let all = [&fleet[..], &["fleet.devices=10", "fleet.compromised=3", rule]].concat();
            crafted(&scenario(&all), &[0.0], &models, &[2, 4, 7]).unwrap()[0][0]
        };
        // The mean is moved without bound.
        assert!((with("aggregation.rule=mean") + 102.4).abs() < 1e-3);
        // Below -3.4 the median does not care.
        let median = with("aggregation.rule=median");
        assert!((-25.6..=-3.4).contains(&median), "{median}");
        // Multi-Krum leaves out what lies too far away.
        let multi_krum = with("aggregation.rule=multi-krum");
        assert!((-20.0..-0.1).contains(&multi_krum), "{multi_krum}");
    }

    #[test]
    fn the_factor_that_is_set_counts_where_the_rule_refuses_to_be_tried_out() {
        // Krum takes 9 devices where 3 are assumed to be Byzantine, and 4 answer.
        let optimise = ["attack.kind=inner-product", "attack.optimise=true", "attack.epsilon=0.5"];
        let rule = ["attack.knowledge=full", "aggregation.rule=krum", "aggregation.byzantine=3"];
        let sent = craft(&[&optimise[..], &rule].concat());
        assert_eq!(sent, [[-0.5, 10.0], [-0.5, 10.0]]);
    }
}
