//! The rule of one run on a GPU.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::rules::{Bulyan, Krum, MeanWeights, Rule, RuleError, RuleName, RuleParameters, Updates, build};
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
    computation: Computation,
    /// The same rule on the processors: it knows its name and conditions.
    rule: Box<dyn Rule>,
    resident: Mutex<Resident>,
}

/// How a rule is computed.
enum Computation {
    /// A mean of each column, in which rows may count differently.
    Mean,
    /// A statistic of each column.
    Columns(Statistic),
    /// Selections by distance.
    Krum(Krum),
    Bulyan(Bulyan),
}

impl CudaRule {
    pub(super) fn new(gpu: Arc<Gpu>, name: RuleName, parameters: &RuleParameters) -> Self {
        let &RuleParameters { byzantine, trim, theta, gamma } = parameters;
        let computation = match name {
            RuleName::Mean => Computation::Mean,
            RuleName::Median => Computation::Columns(Statistic::Median),
            RuleName::TrimmedMean => Computation::Columns(Statistic::TrimmedMean { trim }),
            RuleName::Krum => Computation::Krum(Krum { byzantine }),
            RuleName::Bulyan => Computation::Bulyan(Bulyan { byzantine, theta, gamma }),
        };
        CudaRule { gpu, computation, rule: build(name, parameters), resident: Mutex::default() }
    }

    /// The updates that are on the GPU, for a thread that may use it.
    fn resident(&self) -> Result<MutexGuard<'_, Resident>, CudaError> {
        self.gpu.enter()?;
        Ok(self.resident.lock().unwrap_or_else(PoisonError::into_inner))
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

    /// [`CudaRule::average`] of each selection. Without one or another of those that are not selected, the selection is
    /// often the same.
    fn average_each(
        &self,
        updates: &Updates<'_>,
        resident: &Resident,
        selections: &[Vec<usize>],
        count: usize,
    ) -> Result<Vec<Vec<f32>>, RuleError> {
        let mut first_places = BTreeMap::new();
        let mut means: Vec<Vec<f32>> = Vec::with_capacity(selections.len());
        for (place, selection) in selections.iter().enumerate() {
            let first = *first_places.entry(selection).or_insert(place);
            means.push(match means.get(first) {
                Some(mean) => mean.clone(),
                None => self.average(updates, resident, selection, count)?,
            });
        }
        Ok(means)
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
        match &self.computation {
            Computation::Mean => {
                let weights = MeanWeights::of(updates);
                let mean = MeanOf { weights: &weights.each, shares: &[weights.total] };
                Ok(columns::aggregate(&matrix, Statistic::Mean, Some(&mean))?)
            }
            Computation::Columns(statistic) => Ok(columns::aggregate(&matrix, *statistic, None)?),
            Computation::Krum(krum) => {
                Ok(updates.rows()[krum.select_by(&distances(&matrix, updates)?)?].to_vec())
            }
            Computation::Bulyan(bulyan) => {
                let count = bulyan.averaged(updates.len())?;
                let selection = bulyan.select(&distances(&matrix, updates)?)?;
                self.average(updates, &resident, &selection, count)
            }
        }
    }

    fn leave_one_out(&self, updates: &Updates<'_>, aggregates: &mut Vec<Vec<f32>>) -> Result<(), RuleError> {
        self.check(updates.len().saturating_sub(1))?;
        let resident = self.resident()?;
        let matrix = Matrix::new(&self.gpu, &resident, updates);
        // They come to memory of their own.
        aggregates.clear();
        *aggregates = match &self.computation {
            Computation::Mean => {
                let weights = MeanWeights::of(updates);
                let mean = MeanOf { weights: &weights.each, shares: &weights.shares_without_each()? };
                columns::without_each(&matrix, Statistic::Mean, Some(&mean))?
            }
            Computation::Columns(statistic) => columns::without_each(&matrix, *statistic, None)?,
            Computation::Krum(krum) => {
                let selected = krum.select_without_each(&distances(&matrix, updates)?)?;
                selected.into_iter().map(|row| updates.rows()[row].to_vec()).collect()
            }
            Computation::Bulyan(bulyan) => {
                let count = bulyan.averaged(updates.len() - 1)?;
                let selections = bulyan.select_without_each(&distances(&matrix, updates)?)?;
                self.average_each(updates, &resident, &selections, count)?
            }
        };
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
