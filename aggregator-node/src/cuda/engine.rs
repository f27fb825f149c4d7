//! The rules of one run on a GPU.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use robust::{
    Aggregate, Byzantine, Executor, Geometry, LeaveOneOutPlan, Plan, Rule, RuleError, Updates, different,
};
use tracing::warn;

use super::error::CudaError;
use super::gpu::Gpu;
use super::matrix::{Matrix, Resident};
use super::on_gpu::OnGpu;
use super::plan::{AllButEach, Work};
use crate::backend::Engine;

/// Computes the rules of one run on a GPU.
pub(super) struct CudaEngine {
    gpu: Arc<Gpu>,
    resident: Mutex<Resident>,
}

impl CudaEngine {
    pub(super) fn new(gpu: Arc<Gpu>) -> Self {
        CudaEngine { gpu, resident: Mutex::default() }
    }

    /// The updates that are on the GPU, for a thread that may use it.
    fn resident(&self) -> Result<MutexGuard<'_, Resident>, CudaError> {
        self.gpu.enter()?;
        Ok(self.resident.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a rule may ask of `updates`, which are the rows of `matrix`.
fn geometry<'a>(matrix: &'a Matrix<'a>, updates: &'a Updates<'a>) -> Geometry<'a> {
    let measured = updates.measured().cloned();
    let measure = Box::new(OnGpu { matrix, local: *updates });
    Geometry::new(updates.len(), updates.weights(), measure).knowing(measured)
}

/// What `plan` makes of `matrix`, whose rows are those of `updates`.
fn carry_out(plan: &Plan, matrix: &Matrix<'_>, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
    Ok(match Work::of(plan, updates.len())? {
        Work::Row(row) => updates.rows()[row].to_vec(),
        Work::Columns(columns, None) => columns.here(matrix)?.pop().unwrap_or_default(),
        Work::Columns(columns, Some(rows)) => columns.here(&matrix.select(&rows))?.pop().unwrap_or_default(),
        Work::OnProcessors => robust::carry_out(plan, updates)?,
    })
}

impl Executor for CudaEngine {
    fn aggregate(
        &self,
        rule: &dyn Rule,
        updates: &Updates<'_>,
        byzantine: Byzantine,
    ) -> Result<Aggregate, RuleError> {
        rule.check(updates.len(), byzantine)?;
        let resident = self.resident()?;
        let matrix = Matrix::new(&self.gpu, &resident, updates);
        let plan = Plan::of(rule, &geometry(&matrix, updates), byzantine)?;
        Ok(Aggregate { values: carry_out(&plan, &matrix, updates)?, used: plan.used(updates.len()) })
    }

    fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: &Updates<'_>,
        byzantine: Byzantine,
        aggregates: &mut Vec<Vec<f32>>,
    ) -> Result<(), RuleError> {
        rule.check(updates.len().saturating_sub(1), byzantine)?;
        let resident = self.resident()?;
        let matrix = Matrix::new(&self.gpu, &resident, updates);
        let plans = LeaveOneOutPlan::of(rule, &geometry(&matrix, updates), byzantine)?;
        // They come to memory of their own.
        aggregates.clear();
        *aggregates = match AllButEach::of(plans, updates.len())? {
            AllButEach::Columns(columns) => columns.here(&matrix)?,
            AllButEach::Each(plans) => {
                let (firsts, places) = different(&plans);
                let made = firsts.iter().map(|&first| carry_out(&plans[first], &matrix, updates));
                let made = made.collect::<Result<Vec<_>, RuleError>>()?;
                places.into_iter().map(|place| made[place].clone()).collect()
            }
        };
        Ok(())
    }
}

impl Engine for CudaEngine {
    fn takes_updates(&self) -> bool {
        true
    }

    /// Where it fails, the update is copied when it is aggregated, and an error if that fails too.
    fn take(&self, round: u32, update: &Arc<[f32]>) {
        let taken = self.resident().and_then(|mut resident| resident.take(&self.gpu, round, update));
        if let Err(error) = taken {
            warn!("an update of round {round} is not moved to the GPU ahead of time: {error}");
        }
    }

    fn release(&self, round: u32) {
        match self.resident() {
            Ok(mut resident) => resident.release(round),
            Err(error) => warn!("updates of round {round} stay on the GPU: {error}"),
        }
    }
}

impl Drop for CudaEngine {
    /// Lets go of memory on the GPU, in a thread that may: an error would be reported to whoever uses the GPU next.
    fn drop(&mut self) {
        if let Ok(mut resident) = self.resident() {
            *resident = Resident::default();
        }
    }
}
