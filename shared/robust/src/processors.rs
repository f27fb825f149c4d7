//! Plans carried out on the processors of this machine.

use rayon::prelude::*;

use super::kernels::columns::give_shape;
use super::kernels::combine::{self, combinations};
use super::kernels::mean::weighted_mean;
use super::kernels::means::leave_one_out_means;
use super::kernels::near_median::mean_near_median;
use super::kernels::near_medians::means_near_medians;
use super::kernels::signs::mean_by_majority;
use super::kernels::{median, trimmed_mean};
use super::{
    Byzantine, Combination, Geometry, LeaveOneOutPlan, MeanWeights, Plan, Rule, RuleError, Statistic,
    Updates, different,
};

/// What carries the plans of rules out: the processors, or a GPU.
///
/// The results are the same to the last bit, whatever it is and however many threads it has.
pub trait Executor: Send + Sync {
    /// Aggregates m updates of d values each into one of d values.
    ///
    /// # Errors
    /// What the rule says to that many, and [`RuleError::Backend`].
    fn aggregate(
        &self,
        rule: &dyn Rule,
        updates: &Updates<'_>,
        byzantine: Byzantine,
    ) -> Result<Aggregate, RuleError>;

    /// For each of the m rows the aggregate of all others, d values: what a defense judges an update by.
    ///
    /// They take the place of whatever is in `aggregates`, in the memory that is there if it has the right shape: new
    /// memory is cleared first, which takes as long as all else, so let each round have that of the last one.
    ///
    /// # Errors
    /// As [`Executor::aggregate`] of m - 1 rows; what is then in `aggregates` is unspecified.
    fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: &Updates<'_>,
        byzantine: Byzantine,
        aggregates: &mut Vec<Vec<f32>>,
    ) -> Result<(), RuleError>;
}

/// What a rule made of a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// d values.
    pub values: Vec<f32>,
    /// The rows that have a part in it, in ascending order.
    pub used: Vec<usize>,
}

/// The processors of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Processors;

impl Executor for Processors {
    fn aggregate(
        &self,
        rule: &dyn Rule,
        updates: &Updates<'_>,
        byzantine: Byzantine,
    ) -> Result<Aggregate, RuleError> {
        let plan = Plan::of(rule, &Geometry::of(updates), byzantine)?;
        Ok(Aggregate { values: carry_out(&plan, updates)?, used: plan.used(updates.len()) })
    }

    fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: &Updates<'_>,
        byzantine: Byzantine,
        aggregates: &mut Vec<Vec<f32>>,
    ) -> Result<(), RuleError> {
        match LeaveOneOutPlan::of(rule, &Geometry::of(updates), byzantine)? {
            LeaveOneOutPlan::Mean { weights } => {
                leave_one_out_means(
                    updates,
                    &MeanWeights::new(updates.len(), weights.as_deref())?,
                    aggregates,
                )?;
            }
            LeaveOneOutPlan::Median => median::leave_one_out(updates, aggregates),
            LeaveOneOutPlan::TrimmedMean { trim } => trimmed_mean::leave_one_out(updates, trim, aggregates),
            LeaveOneOutPlan::Each(plans) => each(&plans, updates, aggregates)?,
        }
        Ok(())
    }
}

/// What combinations of `updates` are on the processors, d values each.
///
/// # Errors
/// If they are of other updates.
pub fn combine(all: &[Combination], updates: &Updates<'_>) -> Result<Vec<Vec<f32>>, RuleError> {
    let mut vectors = Vec::new();
    combinations(updates, all, &mut vectors)?;
    Ok(vectors)
}

/// What `plan` makes of `updates` on the processors, d values.
///
/// # Errors
/// If it is for other updates.
pub fn carry_out(plan: &Plan, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
    match plan {
        Plan::Row(row) => Ok(updates.rows()[*row].to_vec()),
        Plan::Mean { weights: None } => Ok(weighted_mean(updates, &MeanWeights::new(updates.len(), None)?)),
        Plan::Mean { weights: Some(weights) } => {
            let used = plan.used(updates.len());
            let weights: Vec<f64> = used.iter().map(|row| weights[*row]).collect();
            updates.of_rows(&used, |updates| {
                Ok(weighted_mean(updates, &MeanWeights::new(updates.len(), Some(&weights))?))
            })
        }
        Plan::Columns { statistic, rows: None } => Ok(statistic_of(*statistic, updates)),
        Plan::Columns { statistic, rows: Some(rows) } => {
            updates.of_rows(rows, |updates| Ok(statistic_of(*statistic, updates)))
        }
        Plan::Combination(combination) => combine::combine(updates, combination),
        Plan::Given { values, .. } => Ok(values.to_vec()),
        Plan::ColumnsOf { statistic, combinations: parts } => {
            let parts = combine(parts, updates)?;
            let rows: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
            let mixed = Updates::new(&rows, None)?;
            let mixed = updates.origin().map_or(Ok(mixed), |origin| mixed.from_origin(origin))?;
            Ok(statistic_of(*statistic, &mixed))
        }
    }
}

fn statistic_of(statistic: Statistic, updates: &Updates<'_>) -> Vec<f32> {
    match statistic {
        Statistic::Median => median::of(updates),
        Statistic::TrimmedMean { trim } => trimmed_mean::of(updates, trim),
        Statistic::MeanNearMedian { count } => mean_near_median(updates, count),
        Statistic::MeanByMajority { threshold } => mean_by_majority(updates, threshold),
    }
}

/// What each of `plans` makes of `updates`.
fn each(plans: &[Plan], updates: &Updates<'_>, aggregates: &mut Vec<Vec<f32>>) -> Result<(), RuleError> {
    if let Some((selections, count)) = selections(plans) {
        means_near_medians(updates, &selections, count, aggregates);
        return Ok(());
    }
    let combined = |plan: &Plan| if let Plan::Combination(it) = plan { Some(it.clone()) } else { None };
    if let Some(all) = plans.iter().map(combined).collect::<Option<Vec<_>>>() {
        return combinations(updates, &all, aggregates);
    }
    // A rule that selects has few different ones.
    let (firsts, places) = different(plans);
    let rows = |plan: &Plan| if let Plan::Row(row) = plan { Some(*row) } else { None };
    let made = firsts.par_iter().map(|&first| match rows(&plans[first]) {
        Some(_) => Ok(Vec::new()),
        None => carry_out(&plans[first], updates),
    });
    let made: Vec<Vec<f32>> = made.collect::<Result<_, _>>()?;
    give_shape(aggregates, plans.len(), updates.dimension());
    aggregates.par_iter_mut().zip(plans.par_iter().zip(places)).for_each(|(aggregate, (plan, place))| {
        aggregate.copy_from_slice(rows(plan).map_or(&made[place][..], |row| updates.rows()[row]));
    });
    Ok(())
}

/// Of which rows each plan has the mean of the values near the median, and of how many values; if all plans have that, and
/// the numbers are the same.
fn selections(plans: &[Plan]) -> Option<(Vec<&[usize]>, usize)> {
    let selection = |plan| match plan {
        &Plan::Columns { statistic: Statistic::MeanNearMedian { count }, rows: Some(ref rows) } => {
            Some((&rows[..], count))
        }
        _ => None,
    };
    let (first, count) = selection(&plans[0])?;
    let of_this_size = |(rows, of): (&[usize], usize)| rows.len() == first.len() && of == count;
    let all = plans.iter().map(|plan| selection(plan).filter(|it| of_this_size(*it)).map(|(rows, _)| rows));
    Some((all.collect::<Option<_>>()?, count))
}
