//! A rule: trust the two updates that are nearest to each other.

use robust::{Byzantine, Plan, Round, Rule, RuleError, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The mean of the two updates that are nearest to each other; in every so many rounds, that of all.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct ClosestPair {
    /// The number of rounds from one mean of all to the next; without, there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_every: Option<u32>,
}

impl Rule for ClosestPair {
    fn check(&self, devices: usize, _: Byzantine) -> Result<(), RuleError> {
        let (rule, condition) = ("closest-pair", "at least two devices");
        if devices >= 2 {
            return Ok(());
        }
        Err(RuleError::Condition { rule, condition, parameter: "byzantine", value: 0, devices })
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let rounds = round.state("rounds").map_or(0.0, |kept| kept[0]);
        if self.all_every.is_some_and(|every| rounds + 1.0 >= every as f32) {
            return Ok(Plan::Mean { weights: None });
        }
        let (mut pair, mut least) = ((0, 1), f64::INFINITY);
        for a in 0..round.devices() {
            for b in a + 1..round.devices() {
                let distance = round.distance(a, b)?;
                if distance < least {
                    (pair, least) = ((a, b), distance);
                }
            }
        }
        let mut weights = vec![0.0; round.devices()];
        (weights[pair.0], weights[pair.1]) = (1.0, 1.0);
        Ok(Plan::Mean { weights: Some(weights) })
    }

    fn remember(&self, _: &Round<'_>, _: &[f32], state: &mut State) -> Result<(), RuleError> {
        let rounds = state.get("rounds").map_or(0.0, |kept| kept[0]) + 1.0;
        let is_over = self.all_every.is_some_and(|every| rounds >= every as f32);
        state.set("rounds", [if is_over { 0.0 } else { rounds }]);
        Ok(())
    }
}
