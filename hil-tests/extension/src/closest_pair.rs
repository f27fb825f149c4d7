//! A rule: trust the two updates that are nearest to each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::rules::{Byzantine, Plan, Round, Rule, RuleError};

/// The mean of the two updates that are nearest to each other.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClosestPair {}

impl Rule for ClosestPair {
    fn check(&self, devices: usize, _: Byzantine) -> Result<(), RuleError> {
        let (rule, condition) = ("closest-pair", "at least two devices");
        if devices >= 2 {
            return Ok(());
        }
        Err(RuleError::Condition { rule, condition, parameter: "byzantine", value: 0, devices })
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
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
}
