//! The Gaussian baseline.

use candle_core::{DType, Tensor};
use rand_distr::{Distribution, StandardNormal};
use shared::random::Stream;

use super::statistics::{finite, mean_and_deviation};
use super::{Attack, RulesError, View};

/// See `edge_client::attacks::Gaussian`.
pub(super) struct Gaussian;

impl Attack for Gaussian {
    fn draw(&self, _rank: usize, random: &mut Stream, values: &mut [f32]) {
        for value in values {
            let standard: f64 = StandardNormal.sample(random);
            *value = standard as f32;
        }
    }

    fn craft(&self, view: &View<'_>) -> Result<Option<Tensor>, RulesError> {
        let (mean, deviation) = mean_and_deviation(&view.everyone.to_dtype(DType::F64)?)?;
        let reach = view.drawn.to_dtype(DType::F64)?.broadcast_mul(&deviation)?;
        Ok(Some(finite(&reach.broadcast_add(&mean)?)?))
    }
}
