//! Federated averaging with an adaptive step at the aggregator.

use std::iter::zip;

use input::unfit::{Unfit, positive, require};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Optimizer, kept};

/// Each coordinate moves by its mean update over the root of its mean squared one (FedAdam; Reddi et al. 2021, algorithm 2).
///
/// With the update Δ, the rule's aggregate less the global model: m <- β1 m + (1 - β1) Δ, v <- β2 v + (1 - β2) Δ², and the global
/// model moves by η m / (√v + τ). m begins with 0 and v with τ²; there is no correction for that. The paper finds η by a search
/// for each task; the default is ours.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Adam {
    /// The step size (η).
    pub learning_rate: f64,
    /// The share of the earlier mean that is left in a round (β1), at least 0 and below 1.
    pub momentum: f64,
    /// The share of the earlier mean square that is left in a round (β2), at least 0 and below 1.
    pub second_momentum: f64,
    /// What is added to the root: the larger, the less the step of a coordinate is its own (τ).
    pub tau: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { learning_rate: 0.01, momentum: 0.9, second_momentum: 0.99, tau: 1e-3 }
    }
}

impl Optimizer for Adam {
    fn check(&self) -> Result<(), Unfit> {
        positive("optimizer.learning-rate", self.learning_rate)?;
        for (key, share) in
            [("optimizer.momentum", self.momentum), ("optimizer.second-momentum", self.second_momentum)]
        {
            require(share >= 0.0 && (share as f32) < 1.0, key, || {
                format!("{share} must be at least 0 and below 1, as a 32-bit float too")
            })?;
        }
        positive("optimizer.tau", self.tau)
    }

    fn step(&self, global: &[f32], aggregate: &[f32], state: &mut State) -> Vec<f32> {
        let [rate, first, second, tau] =
            [self.learning_rate, self.momentum, self.second_momentum, self.tau].map(|it| it as f32);
        let mut mean = kept(state, "mean", global.len(), 0.0);
        let mut square = kept(state, "mean square", global.len(), tau * tau);
        let mut next = Vec::with_capacity(global.len());
        for ((mean, square), (origin, value)) in zip(zip(&mut mean, &mut square), zip(global, aggregate)) {
            let update = value - origin;
            *mean = first * *mean + (1.0 - first) * update;
            // What overflowed would stand still for ever.
            *square = (second * *square + (1.0 - second) * (update * update)).min(f32::MAX);
            next.push(origin + rate * *mean / (square.sqrt() + tau));
        }
        state.set("mean", mean);
        state.set("mean square", square);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_the_definition() {
        let optimizer = Adam { learning_rate: 0.1, tau: 0.01, ..Adam::default() };
        let (mut state, mut global) = (State::default(), vec![1.0_f32, -2.0, 0.5]);
        let (mut m, mut v) = ([0.0_f64; 3], [1e-4_f64; 3]);
        let mut expected: Vec<f64> = global.iter().copied().map(f64::from).collect();
        for round in 0..5 {
            let updates = [0.5, -0.001 * f64::from(round), 0.0];
            let aggregate: Vec<f32> =
                zip(&global, updates).map(|(origin, update)| origin + update as f32).collect();
            for (at, update) in updates.into_iter().enumerate() {
                m[at] = 0.9 * m[at] + 0.1 * update;
                v[at] = 0.99 * v[at] + 0.01 * update * update;
                expected[at] += 0.1 * m[at] / (v[at].sqrt() + 0.01);
            }
            global = optimizer.step(&global, &aggregate, &mut state);
            for (value, expected) in zip(&global, &expected) {
                assert!((f64::from(*value) - expected).abs() < 1e-4, "{value}, not {expected}");
            }
        }
        assert_eq!(global[2], 0.5, "what is not updated does not move");
    }

    #[test]
    fn an_update_whose_square_overflows_does_not_stop_the_model_for_ever() {
        let (optimizer, mut state) = (Adam::default(), State::default());
        let next = optimizer.step(&[0.0], &[1e30], &mut state);
        assert!(next[0].is_finite() && state.get("mean square").unwrap()[0].is_finite(), "{next:?}");
        for _ in 0..20_000 {
            optimizer.step(&[0.0], &[1.0], &mut state);
        }
        assert!(optimizer.step(&[0.0], &[1.0], &mut state)[0] > 0.009);
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let check = |optimizer: Adam| optimizer.check().map_err(|(key, _)| key);
        let usual = Adam::default;
        assert_eq!(check(usual()), Ok(()));
        assert_eq!(check(Adam { momentum: 1.0, ..usual() }), Err("optimizer.momentum"));
        assert_eq!(check(Adam { second_momentum: -0.5, ..usual() }), Err("optimizer.second-momentum"));
        assert_eq!(check(Adam { tau: 0.0, ..usual() }), Err("optimizer.tau"));
        assert_eq!(check(Adam { learning_rate: f64::NAN, ..usual() }), Err("optimizer.learning-rate"));
    }
}
