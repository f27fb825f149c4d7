//! Models shifted away from the mean of those that the attacker knows (Shejwalkar and Houmansadr, NDSS 2021,
//! section IV).
//!
//! What is crafted is μ + γp: the mean of the honest updates that are known, and γ times a perturbation p.
//! How far that lies from each of them follows from a few numbers, so that γ is found without a pass over the
//! coordinates.

use candle_core::{DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::View;
use super::statistics::{finite, mean_and_deviation};

/// Which way crafted updates are shifted away from the mean update (the paper's perturbation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Perturbation {
    /// Down by the standard deviation of each coordinate.
    #[default]
    Deviation,
    /// Against the mean update.
    Unit,
    /// Against the sign of each coordinate of the mean update, all by as much.
    Sign,
}

/// Where crafted models may lie: from the mean of the known ones in one direction.
#[derive(Debug)]
pub(super) struct Shift {
    /// The mean of the known models, `[1, d]`.
    mean: Tensor,
    /// The perturbation (the paper's p), `[1, d]`.
    step: Tensor,
    /// |p|².
    pub(super) squared: f64,
    /// How the mean lies to each known update.
    pub(super) offsets: Vec<Offset>,
}

/// How the mean μ lies to an update u, as seen in the direction p.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offset {
    /// |μ - u|².
    pub(super) squared: f64,
    /// p·(μ - u).
    pub(super) along: f64,
}

impl Shift {
    /// A shift from the mean of the `known` rows.
    ///
    /// # Errors
    /// If candle or the GPU fails, as for all of these.
    pub(super) fn of(view: &View<'_>, known: &[u32], perturbation: Perturbation) -> Result<Self> {
        let (mean, deviation) = mean_and_deviation(view.models, known)?;
        let update = (&mean - view.origin()?)?;
        let step = match perturbation {
            Perturbation::Deviation => deviation.neg()?,
            Perturbation::Unit => {
                let length = square(&update)?.sqrt();
                (update * if length > 0.0 { -1.0 / length } else { 0.0 })?
            }
            Perturbation::Sign => {
                (update.lt(0.0)?.to_dtype(DType::F64)? - update.gt(0.0)?.to_dtype(DType::F64)?)?
            }
        };
        let offset = |row: &u32| {
            let offset = (&mean - view.models.narrow(0, *row as usize, 1)?.to_dtype(DType::F64)?)?;
            let squared = square(&offset)?;
            Ok(Offset { squared, along: (offset * &step)?.sum_all()?.to_scalar()? })
        };
        let offsets = known.iter().map(offset).collect::<Result<_>>()?;
        Ok(Shift { squared: square(&step)?, offsets, mean, step })
    }

    /// The model that is shifted by γ = `factor`, `[1, d]`.
    pub(super) fn crafted(&self, factor: f64) -> Result<Tensor> {
        finite(&(&self.mean + (&self.step * factor)?)?)
    }

    /// The γ that takes the mean so far away, by the square of the distance; 0 where there is no direction.
    pub(super) fn factor(&self, squared_distance: f64) -> f64 {
        if self.squared > 0.0 { (squared_distance / self.squared).sqrt() } else { 0.0 }
    }

    /// The square of the distance from the mean to the farthest known update.
    pub(super) fn farthest(&self) -> f64 {
        self.offsets.iter().map(|offset| offset.squared).fold(0.0, f64::max)
    }

    /// The square of the distance from the mean to the nearest known update.
    pub(super) fn nearest(&self) -> f64 {
        self.offsets.iter().map(|offset| offset.squared).fold(f64::INFINITY, f64::min)
    }
}

fn square(values: &Tensor) -> Result<f64> {
    values.sqr()?.sum_all()?.to_scalar()
}
