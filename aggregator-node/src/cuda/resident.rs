//! The rules of a simulation: updates lie on the GPU, and what comes of them stays there.

use cudarc::driver::{CudaSlice, CudaView, CudaViewMut};
use robust::{
    Byzantine, Distances, Geometry, LeaveOneOutPlan as Plans, MeanWeights, Plan, Rule, RuleError, different,
};

use super::distances::distances;
use super::error::CudaError;
use super::gpu::Gpu;
use super::launch::allocate;
use super::matrix::Matrix;
use super::plan::{AllButEach, Work};

/// A matrix of m updates of d values each, one after the other in the memory of a GPU.
pub struct ResidentUpdates<'a> {
    values: CudaView<'a, f32>,
    devices: usize,
    examples: Option<Vec<f64>>,
}

impl<'a> ResidentUpdates<'a> {
    /// The updates of `devices` devices in `values`, and the number of examples behind each, if they are weighted. Their
    /// values must be finite, and written by the stream that the rule computes on.
    ///
    /// # Errors
    /// If there is no device, the values do not divide into that many, or as [`Updates::new`](robust::Updates::new)
    /// for weights.
    pub fn new(
        values: CudaView<'a, f32>,
        devices: usize,
        weights: Option<&[f64]>,
    ) -> Result<Self, RuleError> {
        let expected = values.len().checked_div(devices).ok_or(RuleError::NoUpdates)?;
        if expected * devices != values.len() {
            let actual = values.len() - expected * (devices - 1);
            return Err(RuleError::Dimension { row: devices - 1, expected, actual });
        }
        MeanWeights::new(devices, weights)?;
        Ok(ResidentUpdates { values, devices, examples: weights.map(<[f64]>::to_vec) })
    }

    /// Number of values of each (the paper's d).
    pub fn dimension(&self) -> usize {
        self.values.len() / self.devices
    }
}

/// Aggregates without each of m updates.
pub struct LeaveOneOutAggregates {
    /// Aggregates of d values, one after the other on the GPU, each once.
    pub different: CudaSlice<f32>,
    /// For each update which of them is the one without it.
    pub places: Vec<usize>,
}

/// Computes rules of updates that lie on a GPU, and leaves the aggregates there: the very bits of the rules elsewhere.
pub struct ResidentEngine(pub(super) std::sync::Arc<Gpu>);

impl ResidentEngine {
    /// The aggregate, d values, and the rows that have a part in it.
    ///
    /// # Errors
    /// As [`Executor::aggregate`](robust::Executor::aggregate).
    pub fn aggregate(
        &self,
        rule: &dyn Rule,
        updates: &ResidentUpdates<'_>,
        byzantine: Byzantine,
    ) -> Result<(CudaSlice<f32>, Vec<usize>), RuleError> {
        rule.check(updates.devices, byzantine)?;
        let matrix = self.matrix(updates)?;
        let plan = Plan::of(rule, &geometry(&matrix, updates), byzantine)?;
        let mut aggregate = allocate::<f32>(&self.0, updates.dimension()).map_err(CudaError::from)?;
        self.carry_out(&plan, &matrix, updates, &mut aggregate.as_view_mut())?;
        Ok((aggregate, plan.used(updates.devices)))
    }

    /// The aggregates without each update.
    ///
    /// # Errors
    /// As [`Executor::leave_one_out`](robust::Executor::leave_one_out).
    pub fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: &ResidentUpdates<'_>,
        byzantine: Byzantine,
    ) -> Result<LeaveOneOutAggregates, RuleError> {
        rule.check(updates.devices.saturating_sub(1), byzantine)?;
        let matrix = self.matrix(updates)?;
        let plans = Plans::of(rule, &geometry(&matrix, updates), byzantine)?;
        let d = updates.dimension();
        let room = |vectors: usize| allocate::<f32>(&self.0, vectors * d).map_err(CudaError::from);
        match AllButEach::of(plans, updates.devices)? {
            AllButEach::Columns(columns) => {
                let mut results = room(updates.devices)?;
                columns.there(&matrix, &mut results.as_view_mut())?;
                Ok(LeaveOneOutAggregates { different: results, places: (0..updates.devices).collect() })
            }
            AllButEach::Each(plans) => {
                let (firsts, places) = different(&plans);
                let mut results = room(firsts.len())?;
                for (place, first) in firsts.into_iter().enumerate() {
                    let mut result = results.slice_mut(place * d..(place + 1) * d);
                    self.carry_out(&plans[first], &matrix, updates, &mut result)?;
                }
                Ok(LeaveOneOutAggregates { different: results, places })
            }
        }
    }

    /// The distances between all pairs of `updates`.
    ///
    /// # Errors
    /// [`RuleError::Backend`] if the GPU fails.
    pub fn distances(&self, updates: &ResidentUpdates<'_>) -> Result<Distances, RuleError> {
        Ok(distances(&self.matrix(updates)?)?)
    }

    fn matrix<'a>(&'a self, updates: &ResidentUpdates<'a>) -> Result<Matrix<'a>, CudaError> {
        self.0.enter()?;
        Ok(Matrix::there(&self.0, &updates.values, updates.devices))
    }

    /// Puts what `plan` makes of the updates into `result`, d values.
    fn carry_out(
        &self,
        plan: &Plan,
        matrix: &Matrix<'_>,
        updates: &ResidentUpdates<'_>,
        result: &mut CudaViewMut<'_, f32>,
    ) -> Result<(), RuleError> {
        match Work::of(plan, updates.devices)? {
            Work::Row(row) => {
                let d = updates.dimension();
                let row = updates.values.slice(row * d..(row + 1) * d);
                self.0.stream.memcpy_dtod(&row, result).map_err(CudaError::from)?;
            }
            Work::Columns(columns, None) => columns.there(matrix, result)?,
            Work::Columns(columns, Some(rows)) => columns.there(&matrix.select(&rows), result)?,
        }
        Ok(())
    }
}

/// What a rule may ask of the updates. Whichever thread asks may use the GPU.
fn geometry<'a>(matrix: &'a Matrix<'a>, updates: &'a ResidentUpdates<'a>) -> Geometry<'a> {
    Geometry::new(updates.devices, updates.examples.as_deref(), || {
        matrix.gpu().enter()?;
        Ok(distances(matrix)?)
    })
}
