//! The free rider that sends noise which looks like work.

use candle_core::{DType, Tensor};
use learning::random::Stream;
use rand_distr::{Distribution, StandardNormal};
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::statistics::finite;
use super::{Attack, AttackError, Needs, View};

/// Each compromised device sends an update of a random direction that is as long as its honest one.
///
/// A rule or a stage that goes by lengths cannot tell it from work. Every direction is as likely as any
/// other.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Random {}

impl Attack for Random {
    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn draw(&self, _: usize, random: &mut Stream, values: &mut [f64]) {
        values.fill_with(|| StandardNormal.sample(random));
    }

    fn craft(&self, view: &View<'_>, _: &mut State) -> Result<Option<Tensor>, AttackError> {
        let (origin, drawn) = (view.origin()?, view.draws()?);
        let updates = view.rows(view.colluders)?.to_dtype(DType::F64)?.broadcast_sub(&origin)?;
        let lengths = |rows: &Tensor| rows.sqr()?.sum_keepdim(1)?.sqrt();
        let scales = (lengths(&updates)? / lengths(&drawn)?)?;
        Ok(Some(finite(&drawn.broadcast_mul(&scales)?.broadcast_add(&origin)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{crafted, distance, scenario};

    #[test]
    fn each_update_is_as_long_as_the_device_s_own_and_goes_another_way() {
        const D: usize = 1000;
        let global = vec![0.5; D];
        let models: Vec<Vec<f32>> = [0.6, 0.9, 4.5].map(|value| vec![value; D]).into();
        let sent = crafted(&scenario(&["attack.kind=random"]), &global, &models, &[0, 2]).unwrap();
        for (sent, model) in sent.iter().zip([&models[0], &models[2]]) {
            let (honest, length) = (distance(model, &global), distance(sent, &global));
            assert!((length / honest - 1.0).abs() < 1e-5, "{length}, not {honest}");
            // Two directions of so many dimensions are at right angles, or nearly so.
            let inner: f32 = sent.iter().zip(&global).map(|(sent, global)| sent - global).sum();
            assert!(f64::from(inner).abs() / (length * (D as f64).sqrt()) < 0.15, "{inner}");
        }
        let direction = |model: &[f32], scale: f32| (model[0] - 0.5) / scale;
        assert!((direction(&sent[0], 0.1) - direction(&sent[1], 4.0)).abs() > 1e-6);
    }

    #[test]
    fn a_device_that_has_learnt_nothing_sends_the_global_model_back() {
        let sent = crafted(&scenario(&["attack.kind=random"]), &[0.5, 2.0], &[vec![0.5, 2.0]], &[0]);
        assert_eq!(sent.unwrap(), [[0.5, 2.0]]);
    }
}
