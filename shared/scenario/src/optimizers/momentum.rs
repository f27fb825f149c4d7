//! Federated averaging with momentum at the aggregator.

use std::iter::zip;

use input::unfit::{Unfit, positive, require};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Optimizer, kept};

/// The global model moves by a step size times the update, and times those of earlier rounds (FedAvgM; Hsu, Qi and Brown 2019).
///
/// With the update Δ, the rule's aggregate less the global model: v <- β v + Δ, and the global model moves by η v.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Momentum {
    /// The step size (η).
    pub learning_rate: f64,
    /// The share of the earlier rounds' momentum that is left in a round (β), at least 0 and below 1.
    pub momentum: f64,
}

impl Default for Momentum {
    fn default() -> Self {
        Momentum { learning_rate: 1.0, momentum: 0.9 }
    }
}

impl Optimizer for Momentum {
    fn check(&self) -> Result<(), Unfit> {
        positive("optimizer.learning-rate", self.learning_rate)?;
        require(self.momentum >= 0.0 && (self.momentum as f32) < 1.0, "optimizer.momentum", || {
            format!("{} must be at least 0 and below 1, as a 32-bit float too", self.momentum)
        })
    }

    fn step(&self, global: &[f32], aggregate: &[f32], state: &mut State) -> Vec<f32> {
        let [rate, beta] = [self.learning_rate, self.momentum].map(|it| it as f32);
        let mut momentum = kept(state, "momentum", global.len(), 0.0);
        for (momentum, (origin, value)) in zip(&mut momentum, zip(global, aggregate)) {
            *momentum = beta * *momentum + (value - origin);
        }
        let next = zip(global, &momentum).map(|(origin, momentum)| origin + rate * momentum).collect();
        state.set("momentum", momentum);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_updates_of_earlier_rounds_go_on() {
        let optimizer = Momentum { learning_rate: 0.5, momentum: 0.25 };
        let mut state = State::default();
        assert_eq!(optimizer.step(&[1.0, 8.0], &[3.0, 4.0], &mut state), [2.0, 6.0]);
        // v = 0.25 * [2, -4] + [0, 1].
        assert_eq!(optimizer.step(&[2.0, 6.0], &[2.0, 7.0], &mut state), [2.25, 6.0]);
    }

    #[test]
    fn without_momentum_and_with_a_step_of_one_the_aggregate_is_the_model() {
        let optimizer = Momentum { learning_rate: 1.0, momentum: 0.0 };
        let mut state = State::default();
        for round in 0..3 {
            let aggregate = [round as f32, -1.0];
            assert_eq!(optimizer.step(&[1.0, 8.0], &aggregate, &mut state), aggregate);
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let usual = Momentum::default;
        assert!(usual().check().is_ok());
        for momentum in [-0.1, 1.0, 0.999_999_999_9, f64::NAN] {
            assert_eq!(Momentum { momentum, ..usual() }.check().unwrap_err().0, "optimizer.momentum");
        }
        for learning_rate in [0.0, -1.0, f64::INFINITY] {
            let refused = Momentum { learning_rate, ..usual() }.check().unwrap_err();
            assert_eq!(refused.0, "optimizer.learning-rate");
        }
    }
}
