//! What a plan asks to be computed of an update matrix, on a GPU.

use robust::{MeanWeights, Plan, RuleError, WithoutEach};

use super::columns::{Columns, MeanOf};
use super::program::Statistic;

/// What makes an aggregate.
pub(super) enum Work {
    /// It is a row of the matrix.
    Row(usize),
    /// A statistic of each column, of some of the rows if not of all.
    Columns(Columns, Option<Vec<usize>>),
}

impl Work {
    /// What makes the aggregate by `plan` of so many devices.
    pub(super) fn of(plan: &Plan, devices: usize) -> Result<Self, RuleError> {
        Ok(match plan {
            Plan::Row(row) => Work::Row(*row),
            Plan::Mean { weights: None } => Work::Columns(mean(MeanWeights::new(devices, None)?), None),
            Plan::Mean { weights: Some(weights) } => {
                let used = plan.used(devices);
                let weights: Vec<f64> = used.iter().map(|row| weights[*row]).collect();
                Work::Columns(mean(MeanWeights::new(used.len(), Some(&weights))?), Some(used))
            }
            Plan::Columns { statistic, rows } => {
                let columns = Columns { statistic: (*statistic).into(), mean: None, without_each: false };
                Work::Columns(columns, rows.clone())
            }
        })
    }
}

fn mean(weights: MeanWeights) -> Columns {
    let mean = MeanOf { weights: weights.each, shares: vec![weights.total] };
    Columns { statistic: Statistic::Mean, mean: Some(mean), without_each: false }
}

/// What makes the aggregates without each of so many devices: at once, or one by one.
pub(super) enum AllButEach {
    Columns(Columns),
    Each(Vec<Plan>),
}

impl AllButEach {
    pub(super) fn of(plans: WithoutEach, devices: usize) -> Result<Self, RuleError> {
        let without_each = |statistic| Columns { statistic, mean: None, without_each: true };
        Ok(match plans {
            WithoutEach::Mean { weights } => {
                let weights = MeanWeights::new(devices, weights.as_deref())?;
                let mean = MeanOf { shares: weights.shares_without_each()?, weights: weights.each };
                let columns = Columns { statistic: Statistic::Mean, mean: Some(mean), without_each: true };
                AllButEach::Columns(columns)
            }
            WithoutEach::Median => AllButEach::Columns(without_each(Statistic::Median)),
            WithoutEach::TrimmedMean { trim } => {
                AllButEach::Columns(without_each(Statistic::TrimmedMean { trim }))
            }
            WithoutEach::Each(plans) => AllButEach::Each(plans),
        })
    }
}
