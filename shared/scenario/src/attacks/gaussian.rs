//! The Gaussian baseline (paper section 4.1).

use candle_core::Tensor;
use learning::random::Stream;
use rand_distr::{Distribution, StandardNormal};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::{finite, mean_and_deviation};
use super::{Attack, AttackError, Needs, View};

/// Each compromised device draws every coordinate from a normal fitted to the before-attack models of all devices
/// (Fang et al. 2020, section 4.1).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {}

impl Attack for Gaussian {
    fn needs(&self) -> Needs {
        Needs::Everyone
    }

    fn draw(&self, _: usize, random: &mut Stream, values: &mut [f64]) {
        values.fill_with(|| StandardNormal.sample(random));
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let (mean, deviation) = mean_and_deviation(view.models, &view.everyone())?;
        Ok(Some(finite(&view.draws()?.broadcast_mul(&deviation)?.broadcast_add(&mean)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{crafted, scenario};

    #[test]
    fn draws_have_the_mean_and_deviation_of_all_devices() {
        const D: usize = 20_000;
        let models = [vec![-1.0; D], vec![3.0; D]];
        let scenario = scenario(&["attack.kind=gaussian"]);
        let crafted = &crafted(&scenario, &vec![0.0; D], &models, &[0]).unwrap()[0];
        let mean = crafted.iter().map(|value| f64::from(*value)).sum::<f64>() / D as f64;
        let squares = crafted.iter().map(|value| (f64::from(*value) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / D as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.06, "{mean}");
        assert!((deviation - 2.0).abs() < 0.06, "{deviation}");
    }
}
