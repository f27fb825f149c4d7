//! The inner-product manipulation attack.

use candle_core::Tensor;
use input::unfit::{Unfit, fits_f32, require};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::{finite, mean};
use super::{Attack, AttackError, Conditions, Knowledge, Needs, View};

/// Against the mean update that the attacker knows, so that the aggregate's inner product with it may turn negative (IPM; Xie
/// et al. 2019).
///
/// Each compromised device sends the global model minus `epsilon` times that mean. With full knowledge the mean is that of all
/// honest updates, those of the accomplices among them; the paper takes those of benign devices alone. With a small `epsilon`
/// the update is shorter than those of honest devices, and near enough to be taken by a rule that goes by distances.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct InnerProduct {
    /// What the attacker knows.
    pub knowledge: Knowledge,
    /// How many times as long as the mean update, and the other way (the paper's epsilon).
    pub epsilon: f64,
}

impl Default for InnerProduct {
    fn default() -> Self {
        InnerProduct { knowledge: Knowledge::default(), epsilon: 0.1 }
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
        let known = match self.knowledge {
            Knowledge::Partial => view.colluders.to_vec(),
            Knowledge::Full => view.everyone(),
        };
        let origin = view.origin()?;
        let update = (mean(view.models, &known)? - &origin)?;
        let crafted = finite(&(origin - (update * self.epsilon)?)?)?;
        Ok(Some(crafted.repeat((view.colluders.len(), 1))?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{crafted, scenario};
    use crate::Scenario;

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
        let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
        for epsilon in ["0.0", "-1.0", "nan", "1e39"] {
            let settings = ["attack.kind=inner-product".to_owned(), format!("attack.epsilon={epsilon}")];
            let refused = Scenario::parse("t.toml", text, &settings).unwrap_err().to_string();
            assert!(refused.contains("attack.epsilon: ") && refused.contains("above 0"), "{refused}");
        }
    }
}
