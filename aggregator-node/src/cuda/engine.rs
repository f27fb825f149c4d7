//! The rule of one run on a GPU.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::rules::{
    Bulyan, Distances, Krum, MeanWeights, Rule, RuleError, RuleName, RuleParameters, Updates, build,
};
use tracing::warn;

use super::columns::{self, MeanOf};
use super::distances::distances;
use super::error::CudaError;
use super::gpu::Gpu;
use super::matrix::{Matrix, Resident};
use super::program::Statistic;
use crate::backend::Engine;

/// The rule of one run, computed on a GPU.
pub(super) struct CudaRule {
    gpu: Arc<Gpu>,
    name: RuleName,
    parameters: RuleParameters,
    /// The same rule on the processors: it knows its conditions.
    rule: Box<dyn Rule>,
    resident: Mutex<Resident>,
}

impl CudaRule {
    pub(super) fn new(gpu: Arc<Gpu>, name: RuleName, parameters: RuleParameters) -> Self {
        CudaRule { gpu, name, parameters, rule: build(name, &parameters), resident: Mutex::default() }
    }

    fn resident(&self) -> MutexGuard<'_, Resident> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The statistic of each column that the rule is, if it is one.
    fn statistic(&self) -> Option<Statistic> {
        match self.name {
            RuleName::Mean => Some(Statistic::Mean),
            RuleName::Median => Some(Statistic::Median),
            RuleName::TrimmedMean => Some(Statistic::TrimmedMean { trim: self.parameters.trim }),
            RuleName::Krum | RuleName::Bulyan => None,
        }
    }

    fn krum(&self) -> Krum {
        Krum { byzantine: self.parameters.byzantine }
    }

    fn bulyan(&self) -> Bulyan {
        let RuleParameters { byzantine, theta, gamma, .. } = self.parameters;
        Bulyan { byzantine, theta, gamma }
    }

    fn distances(&self, updates: &Updates<'_>, resident: &Resident) -> Result<Distances, CudaError> {
        distances(&Matrix::new(&self.gpu, resident, updates), updates)
    }

    /// Bulyan's second stage.
    fn average(
        &self,
        updates: &Updates<'_>,
        resident: &Resident,
        selection: &[usize],
        count: usize,
    ) -> Result<Vec<f32>, RuleError> {
        let rows: Vec<&[f32]> = selection.iter().map(|row| updates.rows()[*row]).collect();
        let matrix = Matrix::new(&self.gpu, resident, &Updates::new(&rows, None)?);
        Ok(columns::aggregate(&matrix, Statistic::MeanAroundMedian { count }, None)?)
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
        let resident = self.resident();
        let Some(statistic) = self.statistic() else {
            let distances = self.distances(updates, &resident)?;
            return match self.name {
                RuleName::Bulyan => self.bulyan().aggregate_by(&distances, |selection, count| {
                    self.average(updates, &resident, selection, count)
                }),
                _ => Ok(updates.rows()[self.krum().select_by(&distances)?].to_vec()),
            };
        };
        let matrix = Matrix::new(&self.gpu, &resident, updates);
        let weights = MeanWeights::of(updates);
        let mean = MeanOf { weights: &weights.each, totals: &[weights.total] };
        Ok(columns::aggregate(&matrix, statistic, (statistic == Statistic::Mean).then_some(&mean))?)
    }

    fn leave_one_out(&self, updates: &Updates<'_>) -> Result<Vec<Vec<f32>>, RuleError> {
        self.check(updates.len().saturating_sub(1))?;
        let resident = self.resident();
        let Some(statistic) = self.statistic() else {
            let distances = self.distances(updates, &resident)?;
            return match self.name {
                RuleName::Bulyan => self.bulyan().aggregate_without_each(&distances, |selection, count| {
                    self.average(updates, &resident, selection, count)
                }),
                _ => {
                    let selected = self.krum().select_without_each(&distances)?;
                    Ok(selected.into_iter().map(|row| updates.rows()[row].to_vec()).collect())
                }
            };
        };
        let matrix = Matrix::new(&self.gpu, &resident, updates);
        if statistic != Statistic::Mean {
            return Ok(columns::without_each(&matrix, statistic, None)?);
        }
        let weights = MeanWeights::of(updates);
        let mean = MeanOf { weights: &weights.each, totals: &weights.totals_without_each()? };
        Ok(columns::without_each(&matrix, statistic, Some(&mean))?)
    }
}

impl Engine for CudaRule {
    fn rule(&self) -> &dyn Rule {
        self
    }

    /// Where it fails, the rule will copy the update itself, and say what is wrong if that fails too.
    fn take(&self, round: u32, update: &Arc<[f32]>) {
        if let Err(error) = self.resident().take(&self.gpu, round, update) {
            warn!("an update of round {round} is not moved to the GPU ahead of time: {error}");
        }
    }

    fn release(&self, round: u32) {
        self.resident().release(round);
    }
}
