//! The rule of one run on a GPU.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::rules::{MeanWeights, Rule, RuleError, RuleName, RuleParameters, Updates, build, different};
use tracing::warn;

use super::error::CudaError;
use super::gpu::Gpu;
use super::matrix::{Matrix, Resident};
use super::plan::{Computation, Plan};
use crate::backend::Engine;

/// The rule of one run, computed on a GPU.
pub(super) struct CudaRule {
    gpu: Arc<Gpu>,
    computation: Computation,
    /// The same rule on the processors: it knows its name and conditions.
    rule: Box<dyn Rule>,
    resident: Mutex<Resident>,
}

impl CudaRule {
    pub(super) fn new(gpu: Arc<Gpu>, name: RuleName, parameters: &RuleParameters) -> Self {
        let (computation, rule) = (Computation::of(name, parameters), build(name, parameters));
        CudaRule { gpu, computation, rule, resident: Mutex::default() }
    }

    /// The updates that are on the GPU, for a thread that may use it.
    fn resident(&self) -> Result<MutexGuard<'_, Resident>, CudaError> {
        self.gpu.enter()?;
        Ok(self.resident.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What `plan` makes of `matrix`, whose rows are those of `updates`.
fn carry_out(plan: Plan, matrix: &Matrix<'_>, updates: &Updates<'_>) -> Result<Vec<Vec<f32>>, CudaError> {
    match plan {
        Plan::Columns(columns) => columns.here(matrix),
        Plan::Rows(rows) => Ok(rows.into_iter().map(|row| updates.rows()[row].to_vec()).collect()),
        Plan::Selections(columns, selections) => {
            let (firsts, places) = different(&selections);
            let of_rows = |&first: &usize| {
                Ok(columns.here(&matrix.select(&selections[first]))?.pop().unwrap_or_default())
            };
            let aggregates = firsts.iter().map(of_rows).collect::<Result<Vec<_>, CudaError>>()?;
            Ok(places.into_iter().map(|place| aggregates[place].clone()).collect())
        }
    }
}

impl Rule for CudaRule {
    fn name(&self) -> &'static str {
        self.rule.name()
    }

    fn check(&self, devices: usize) -> Result<(), RuleError> {
        self.rule.check(devices)
    }

    fn aggregate(&self, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
        self.check(updates.len())?;
        let resident = self.resident()?;
        let matrix = Matrix::new(&self.gpu, &resident, updates);
        let plan = self.computation.aggregate(&matrix, MeanWeights::of(updates))?;
        Ok(carry_out(plan, &matrix, updates)?.pop().unwrap_or_default())
    }

    fn leave_one_out(&self, updates: &Updates<'_>, aggregates: &mut Vec<Vec<f32>>) -> Result<(), RuleError> {
        self.check(updates.len().saturating_sub(1))?;
        let resident = self.resident()?;
        let matrix = Matrix::new(&self.gpu, &resident, updates);
        let plan = self.computation.without_each(&matrix, MeanWeights::of(updates))?;
        // They come to memory of their own.
        aggregates.clear();
        *aggregates = carry_out(plan, &matrix, updates)?;
        Ok(())
    }
}

impl Engine for CudaRule {
    fn rule(&self) -> &dyn Rule {
        self
    }

    fn takes_updates(&self) -> bool {
        true
    }

    /// Where it fails, the rule will copy the update itself, and say what is wrong if that fails too.
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

impl Drop for CudaRule {
    /// Lets go of memory on the GPU, in a thread that may: an error would be reported to whoever uses the GPU next.
    fn drop(&mut self) {
        if let Ok(mut resident) = self.resident() {
            *resident = Resident::default();
        }
    }
}
