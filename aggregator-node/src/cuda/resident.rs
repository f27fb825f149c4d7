//! The rules of a simulation: updates lie on the GPU, and what comes of them stays there.

use cudarc::driver::{CudaSlice, CudaView, CudaViewMut};
use robust::{
    Byzantine, Combination, Geometry, LeaveOneOutPlan as Plans, Local, MeanWeights, Measure, Measured, Plan,
    Rule, RuleError, Updates, different,
};

use super::error::CudaError;
use super::gpu::Gpu;
use super::launch::allocate;
use super::matrix::Matrix;
use super::on_gpu::OnGpu;
use super::plan::{AllButEach, Work};

/// A matrix of m updates of d values each, one after the other in the memory of a GPU.
pub struct ResidentUpdates<'a> {
    values: CudaView<'a, f32>,
    devices: usize,
    examples: Option<Vec<f64>>,
    origin: &'a [f32],
    measured: Option<&'a Measured>,
}

impl<'a> ResidentUpdates<'a> {
    /// The updates of `devices` devices in `values`, the number of examples behind each, if they are weighted, and the model
    /// that they were trained from, in the memory of this machine. Their values must be finite, and written by the stream
    /// that the rule computes on.
    ///
    /// # Errors
    /// If there is no device, the values do not divide into that many, or as [`Updates::new`](robust::Updates::new)
    /// for weights.
    pub fn new(
        values: CudaView<'a, f32>,
        devices: usize,
        weights: Option<&[f64]>,
        origin: &'a [f32],
    ) -> Result<Self, RuleError> {
        let expected = values.len().checked_div(devices).ok_or(RuleError::NoUpdates)?;
        if expected * devices != values.len() {
            let actual = values.len() - expected * (devices - 1);
            return Err(RuleError::Dimension { row: devices - 1, expected, actual });
        }
        if origin.len() != expected {
            return Err(RuleError::Origin { expected, actual: origin.len() });
        }
        MeanWeights::new(devices, weights)?;
        let examples = weights.map(<[f64]>::to_vec);
        Ok(ResidentUpdates { values, devices, examples, origin, measured: None })
    }

    /// The same, of which this has been measured; and what is measured from now on is known there.
    #[must_use]
    pub fn knowing(self, measured: Option<&'a Measured>) -> Self {
        ResidentUpdates { measured, ..self }
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

    /// What combinations of the updates are: vectors of d values, one after the other on the GPU.
    ///
    /// # Errors
    /// If they are of other updates, or the GPU fails.
    pub fn combine(
        &self,
        combinations: &[Combination],
        updates: &ResidentUpdates<'_>,
    ) -> Result<CudaSlice<f32>, RuleError> {
        let matrix = self.matrix(updates)?;
        let copied = Copied { matrix: &matrix, updates };
        let vectors = copied.updates(|updates| robust::combine(combinations, updates))?;
        Ok(self.0.stream.clone_htod(&vectors.concat()).map_err(CudaError::from)?)
    }

    /// What `compute` makes of what measures the updates.
    ///
    /// # Errors
    /// As `compute`, or if the GPU fails.
    pub fn measure<T>(
        &self,
        updates: &ResidentUpdates<'_>,
        compute: impl FnOnce(&dyn Measure) -> Result<T, RuleError>,
    ) -> Result<T, RuleError> {
        let matrix = self.matrix(updates)?;
        compute(&OnGpu { matrix: &matrix, local: Copied { matrix: &matrix, updates } })
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
            Work::OnProcessors => {
                let made = Copied { matrix, updates }.updates(|updates| robust::carry_out(plan, updates))?;
                self.0.stream.memcpy_htod(&made, result).map_err(CudaError::from)?;
            }
        }
        Ok(())
    }
}

/// What a rule may ask of the updates.
fn geometry<'a>(matrix: &'a Matrix<'a>, updates: &'a ResidentUpdates<'a>) -> Geometry<'a> {
    let measure = Box::new(OnGpu { matrix, local: Copied { matrix, updates } });
    Geometry::new(updates.devices, updates.examples.as_deref(), measure).knowing(updates.measured.cloned())
}

/// Updates on the GPU, which are copied to the memory of this machine for what no kernel computes.
struct Copied<'a> {
    matrix: &'a Matrix<'a>,
    updates: &'a ResidentUpdates<'a>,
}

impl Local for Copied<'_> {
    fn updates<T>(&self, compute: impl FnOnce(&Updates<'_>) -> Result<T, RuleError>) -> Result<T, RuleError> {
        self.matrix.gpu().enter()?;
        let row = |row| self.matrix.values(row, self.matrix.dimension());
        let rows = (0..self.updates.devices).map(row).collect::<Result<Vec<_>, _>>()?;
        let rows: Vec<&[f32]> = rows.iter().map(AsRef::as_ref).collect();
        compute(&Updates::new(&rows, self.updates.examples.as_deref())?.from_origin(self.updates.origin)?)
    }

    fn origin(&self) -> Option<&[f32]> {
        Some(self.updates.origin)
    }

    fn dimension(&self) -> usize {
        self.matrix.dimension()
    }
}
