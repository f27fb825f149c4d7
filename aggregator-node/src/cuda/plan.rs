//! What a plan asks to be computed of an update matrix, on a GPU.

use robust::{LeaveOneOutPlan, MeanWeights, Plan, RuleError};

use super::columns::{Columns, MeanOf};
use super::program::Statistic;

/// What makes an aggregate.
pub(super) enum Work {
    /// It is a row of the matrix.
    Row(usize),
    /// A statistic of each column, of some of the rows if not of all.
    Columns(Columns, Option<Vec<usize>>),
    /// No kernel makes it: the processors do.
    OnProcessors,
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
            Plan::Columns { statistic, rows } => match Statistic::of(*statistic) {
                Some(statistic) => {
                    let columns = Columns { statistic, mean: None, leave_one_out: false };
                    Work::Columns(columns, rows.clone())
                }
                None => Work::OnProcessors,
            },
            Plan::Combination(_) | Plan::ColumnsOf { .. } | Plan::Given { .. } => Work::OnProcessors,
        })
    }
}

fn mean(weights: MeanWeights) -> Columns {
    let mean = MeanOf { weights: weights.each, shares: vec![weights.total] };
    Columns { statistic: Statistic::Mean, mean: Some(mean), leave_one_out: false }
}

/// What makes the aggregates without each of so many devices: at once, or one by one.
pub(super) enum AllButEach {
    Columns(Columns),
    Each(Vec<Plan>),
}

impl AllButEach {
    pub(super) fn of(plans: LeaveOneOutPlan, devices: usize) -> Result<Self, RuleError> {
        let leave_one_out = |statistic| Columns { statistic, mean: None, leave_one_out: true };
        Ok(match plans {
            LeaveOneOutPlan::Mean { weights } => {
                let weights = MeanWeights::new(devices, weights.as_deref())?;
                let mean = MeanOf { shares: weights.leave_one_out_shares()?, weights: weights.each };
                let columns = Columns { statistic: Statistic::Mean, mean: Some(mean), leave_one_out: true };
                AllButEach::Columns(columns)
            }
            LeaveOneOutPlan::Median => AllButEach::Columns(leave_one_out(Statistic::Median)),
            LeaveOneOutPlan::TrimmedMean { trim } => {
                AllButEach::Columns(leave_one_out(Statistic::TrimmedMean { trim }))
            }
            LeaveOneOutPlan::Each(plans) => AllButEach::Each(plans),
        })
    }
}
