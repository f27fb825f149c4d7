//! The trimmed-mean attack, with partial and with full knowledge.

use candle_core::{DType, Result, Tensor};
use rand::Rng;
use shared::random::Stream;
use shared::scenario::{Attack as Settings, Direction, Goal};

use super::statistics::{finite, mean_and_deviation};
use super::{Attack, RulesError, View};

/// A number from 0 to 1 for each coordinate.
fn draw_fractions(random: &mut Stream, values: &mut [f32]) {
    values.fill_with(|| random.random::<f64>() as f32);
}

/// See `edge_client::attacks::PartialTrimmedMean`.
pub(super) struct PartialTrimmedMean;

impl Attack for PartialTrimmedMean {
    fn draw(&self, _rank: usize, random: &mut Stream, values: &mut [f32]) {
        draw_fractions(random, values);
    }

    fn craft(&self, view: &View<'_>) -> std::result::Result<Option<Tensor>, RulesError> {
        let (mean, deviation) = mean_and_deviation(&view.rows(view.colluders)?.to_dtype(DType::F64)?)?;
        let reach = (view.drawn.to_dtype(DType::F64)? + 3.0)?.broadcast_mul(&deviation)?;
        let rises = mean.gt(&view.origin()?)?.broadcast_as(reach.shape())?;
        let (below, above) = (reach.neg()?.broadcast_add(&mean)?, reach.broadcast_add(&mean)?);
        Ok(Some(finite(&rises.where_cond(&below, &above)?)?))
    }
}

/// See `edge_client::attacks::FullTrimmedMean`.
pub(super) struct FullTrimmedMean {
    goal: Goal,
    direction: Direction,
    spread: f64,
}

impl FullTrimmedMean {
    pub(super) fn new(attack: &Settings) -> Self {
        FullTrimmedMean { goal: attack.goal, direction: attack.direction, spread: attack.spread }
    }

    /// Models whose coordinates lie below all benign ones where `below` says so, `[1, d]`, else above.
    fn beyond(&self, view: &View<'_>, below: &Tensor) -> Result<Tensor> {
        let benign = view.rows(view.benign)?;
        let extreme = below.where_cond(&benign.min_keepdim(0)?, &benign.max_keepdim(0)?)?;
        let extreme = extreme.to_dtype(DType::F64)?;
        let factor = ((view.drawn.to_dtype(DType::F64)? * (self.spread - 1.0))? + 1.0)?;
        let nearer = extreme.gt(0.0)?.eq(below)?.broadcast_as(factor.shape())?;
        let extreme = extreme.broadcast_as(factor.shape())?;
        finite(&nearer.where_cond(&(&extreme / &factor)?, &(&extreme * &factor)?)?)
    }

    /// Per coordinate whether the aggregate gets farther from where it would be by values below the benign ones.
    fn farther_below(&self, view: &View<'_>) -> std::result::Result<Tensor, RulesError> {
        let after = |below: &Tensor| {
            let rows = Tensor::cat(&[self.beyond(view, below)?, view.rows(view.benign)?], 0)?;
            view.rules.aggregate(&rows, None)
        };
        let before = view.rules.aggregate(view.everyone, None)?;
        let nowhere = before.zeros_like()?.to_dtype(DType::U8)?.unsqueeze(0)?;
        let (low, high) = (after(&nowhere.ones_like()?)?, after(&nowhere)?);
        let farther = (low - &before)?.abs()?.gt(&(high - &before)?.abs()?)?;
        Ok(farther.unsqueeze(0)?)
    }
}

impl Attack for FullTrimmedMean {
    fn draw(&self, _rank: usize, random: &mut Stream, values: &mut [f32]) {
        draw_fractions(random, values);
    }

    fn craft(&self, view: &View<'_>) -> std::result::Result<Option<Tensor>, RulesError> {
        let below = match self.goal {
            Goal::Directed => view.without_attack(self.direction)?.gt(&view.origin()?)?,
            Goal::Undirected => self.farther_below(view)?,
        };
        Ok(Some(self.beyond(view, &below)?))
    }
}
