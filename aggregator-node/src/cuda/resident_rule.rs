//! The rule of a simulation: updates lie on the GPU, and what comes of them stays there.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaView};
use shared::rules::{Distances, MeanWeights, Rule, RuleError, RuleName, RuleParameters, build, different};

use super::distances::distances;
use super::error::CudaError;
use super::gpu::Gpu;
use super::launch::allocate;
use super::matrix::Matrix;
use super::plan::{Computation, Plan};

/// A matrix of m updates of d values each, one after the other in the memory of a GPU.
pub struct ResidentUpdates<'a> {
    values: CudaView<'a, f32>,
    devices: usize,
    weights: MeanWeights,
}

impl<'a> ResidentUpdates<'a> {
    /// The updates of `devices` devices in `values`, and the number of examples behind each, if they are weighted. Their
    /// values must be finite, and written by the stream that the rule computes on.
    ///
    /// # Errors
    /// If there is no device, the values do not divide into that many, or as [`Updates::new`](shared::rules::Updates::new)
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
        Ok(ResidentUpdates { values, devices, weights: MeanWeights::new(devices, weights)? })
    }

    /// Number of values of each (the paper's d).
    pub fn dimension(&self) -> usize {
        self.values.len() / self.devices
    }
}

/// Aggregates without each of m updates.
pub struct WithoutEach {
    /// Aggregates of d values, one after the other on the GPU, each once.
    pub different: CudaSlice<f32>,
    /// For each update which of them is the one without it.
    pub places: Vec<usize>,
}

/// A rule whose updates and aggregates lie on a GPU: the very bits of the rule elsewhere.
pub struct ResidentRule {
    gpu: Arc<Gpu>,
    computation: Computation,
    /// The same rule on the processors, which knows its conditions.
    rule: Box<dyn Rule>,
}

impl ResidentRule {
    pub(super) fn new(gpu: Arc<Gpu>, name: RuleName, parameters: &RuleParameters) -> Self {
        ResidentRule { gpu, computation: Computation::of(name, parameters), rule: build(name, parameters) }
    }

    /// The aggregate, d values.
    ///
    /// # Errors
    /// As [`Rule::aggregate`].
    pub fn aggregate(&self, updates: &ResidentUpdates<'_>) -> Result<CudaSlice<f32>, RuleError> {
        self.rule.check(updates.devices)?;
        let matrix = self.matrix(updates)?;
        let plan = self.computation.aggregate(&matrix, updates.weights.clone())?;
        Ok(self.carry_out(plan, &matrix, updates)?.different)
    }

    /// The aggregates without each update.
    ///
    /// # Errors
    /// As [`Rule::leave_one_out`].
    pub fn leave_one_out(&self, updates: &ResidentUpdates<'_>) -> Result<WithoutEach, RuleError> {
        self.rule.check(updates.devices.saturating_sub(1))?;
        let matrix = self.matrix(updates)?;
        let plan = self.computation.without_each(&matrix, updates.weights.clone())?;
        Ok(self.carry_out(plan, &matrix, updates)?)
    }

    /// The distances between all pairs of `updates`, whatever the rule.
    ///
    /// # Errors
    /// [`RuleError::Backend`] if the GPU fails.
    pub fn distances(&self, updates: &ResidentUpdates<'_>) -> Result<Distances, RuleError> {
        Ok(distances(&self.matrix(updates)?)?)
    }

    fn matrix<'a>(&'a self, updates: &ResidentUpdates<'a>) -> Result<Matrix<'a>, CudaError> {
        self.gpu.enter()?;
        Ok(Matrix::there(&self.gpu, &updates.values, updates.devices))
    }

    fn carry_out(
        &self,
        plan: Plan,
        matrix: &Matrix<'_>,
        updates: &ResidentUpdates<'_>,
    ) -> Result<WithoutEach, CudaError> {
        let d = updates.dimension();
        let room = |vectors: usize| allocate::<f32>(&self.gpu, vectors * d);
        match plan {
            Plan::Columns(columns) => {
                let vectors = columns.results(matrix);
                let mut results = room(vectors)?;
                columns.there(matrix, &mut results.as_view_mut())?;
                Ok(WithoutEach { different: results, places: (0..vectors).collect() })
            }
            Plan::Rows(rows) => {
                let (firsts, places) = different(&rows);
                let mut results = room(firsts.len())?;
                for (place, first) in firsts.into_iter().enumerate() {
                    let row = rows[first];
                    let (from, to) = (row * d..(row + 1) * d, place * d..(place + 1) * d);
                    self.gpu.stream.memcpy_dtod(&updates.values.slice(from), &mut results.slice_mut(to))?;
                }
                Ok(WithoutEach { different: results, places })
            }
            Plan::Selections(columns, selections) => {
                let (firsts, places) = different(&selections);
                let mut results = room(firsts.len())?;
                for (place, first) in firsts.into_iter().enumerate() {
                    let mut result = results.slice_mut(place * d..(place + 1) * d);
                    columns.there(&matrix.select(&selections[first]), &mut result)?;
                }
                Ok(WithoutEach { different: results, places })
            }
        }
    }
}
