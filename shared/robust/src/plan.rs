//! What a rule asks to be computed of an update matrix.

use std::sync::Arc;

use rayon::prelude::*;

use super::{Byzantine, Combination, Geometry, Round, Rule, RuleError};

/// How the aggregate follows from the m updates of a round. Rows are counted from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// One of them as it is.
    Row(usize),
    /// Their mean.
    Mean {
        /// The weight of each: m values, of which not all are 0. Without them, all have the same weight.
        weights: Option<Vec<f64>>,
    },
    /// A statistic of each column.
    Columns {
        /// The statistic.
        statistic: Statistic,
        /// The rows that it is taken of, in whatever order; all if there are none.
        rows: Option<Vec<usize>>,
    },
    /// A combination of them.
    Combination(Combination),
    /// A statistic of each column of combinations of them.
    ColumnsOf {
        /// The statistic.
        statistic: Statistic,
        /// What it is taken of: at least one.
        combinations: Vec<Combination>,
    },
    /// What has been computed elsewhere.
    Given {
        /// The aggregate as it is: d values.
        values: Arc<[f32]>,
        /// The rows that have a part in it; all if nobody says.
        used: Option<Vec<usize>>,
    },
}

/// A statistic of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// The middle one, or the mean of the two in the middle.
    Median,
    /// The mean without some of the smallest and as many of the largest.
    TrimmedMean {
        /// Values dropped at either end: fewer than half.
        trim: usize,
    },
    /// The mean of those nearest the median; of two equally far, the lower is nearer.
    MeanNearMedian {
        /// How many.
        count: usize,
    },
    /// The mean, taken from the model that the round started from; turned around where too few updates agree on its sign.
    MeanByMajority {
        /// How many more updates must go up than down, or down than up.
        threshold: usize,
    },
}

impl Plan {
    /// The plan of `rule` for all updates that `geometry` is of.
    ///
    /// # Errors
    /// As [`Rule::check`] and [`Rule::plan`].
    pub fn of(rule: &dyn Rule, geometry: &Geometry<'_>, byzantine: Byzantine) -> Result<Plan, RuleError> {
        rule.check(geometry.devices(), byzantine)?;
        rule.plan(&Round::new(geometry, byzantine))
    }

    /// The rows of `devices` that have a part in the aggregate, in ascending order.
    pub fn used(&self, devices: usize) -> Vec<usize> {
        let mut used: Vec<usize> = match self {
            Plan::Row(row) => vec![*row],
            Plan::Mean { weights: Some(weights) } => {
                (0..devices).filter(|row| weights.get(*row).is_some_and(|weight| *weight != 0.0)).collect()
            }
            Plan::Columns { rows: Some(rows), .. } | Plan::Given { used: Some(rows), .. } => rows.clone(),
            Plan::Mean { weights: None }
            | Plan::Columns { rows: None, .. }
            | Plan::Given { used: None, .. } => (0..devices).collect(),
            Plan::Combination(combination) => combination.used().collect(),
            Plan::ColumnsOf { combinations, .. } => combinations.iter().flat_map(Combination::used).collect(),
        };
        used.sort_unstable();
        used.dedup();
        used
    }

    /// A plan for combinations of rows as one for these rows.
    pub(super) fn of_parts(self, parts: &[Combination]) -> Plan {
        match self {
            Plan::Row(row) => Plan::Combination(parts[row].clone()),
            Plan::Mean { weights } => {
                let weights = weights.unwrap_or_else(|| vec![1.0; parts.len()]);
                let total: f64 = weights.iter().sum();
                let shares = weights.iter().map(|weight| weight / total).collect();
                Plan::Combination(Combination::of(shares).of_parts(parts))
            }
            Plan::Combination(combination) => Plan::Combination(combination.of_parts(parts)),
            Plan::Columns { statistic, rows: None } => {
                Plan::ColumnsOf { statistic, combinations: parts.to_vec() }
            }
            Plan::Columns { statistic, rows: Some(rows) } => Plan::ColumnsOf {
                statistic,
                combinations: rows.iter().map(|row| parts[*row].clone()).collect(),
            },
            Plan::ColumnsOf { statistic, combinations } => {
                let combinations =
                    combinations.iter().map(|combination| combination.of_parts(parts)).collect();
                Plan::ColumnsOf { statistic, combinations }
            }
            Plan::Given { values, used } => {
                let used = used.unwrap_or_else(|| (0..parts.len()).collect());
                let used = used.iter().flat_map(|row| parts[*row].used()).collect();
                Plan::Given { values, used: Some(used) }
            }
        }
    }

    /// A plan for all rows but `left_out` as one for all `devices`.
    fn among_all(self, left_out: usize, devices: usize) -> Plan {
        let among_all = |row: usize| if row < left_out { row } else { row + 1 };
        let with_it = |mut combination: Combination| {
            combination.weights.insert(left_out, 0.0);
            combination
        };
        match self {
            Plan::Row(row) => Plan::Row(among_all(row)),
            Plan::Mean { weights } => {
                let mut weights = weights.unwrap_or_else(|| vec![1.0; devices - 1]);
                weights.insert(left_out, 0.0);
                Plan::Mean { weights: Some(weights) }
            }
            Plan::Columns { statistic, rows } => {
                let rows = rows.unwrap_or_else(|| (0..devices - 1).collect());
                let mut rows: Vec<usize> = rows.into_iter().map(among_all).collect();
                rows.sort_unstable();
                Plan::Columns { statistic, rows: Some(rows) }
            }
            Plan::Combination(combination) => Plan::Combination(with_it(combination)),
            Plan::ColumnsOf { statistic, combinations } => {
                Plan::ColumnsOf { statistic, combinations: combinations.into_iter().map(with_it).collect() }
            }
            Plan::Given { values, used } => {
                let used = used.unwrap_or_else(|| (0..devices - 1).collect());
                Plan::Given { values, used: Some(used.into_iter().map(among_all).collect()) }
            }
        }
    }
}

/// How for each of the updates the aggregate of all others comes about.
#[derive(Clone, Debug, PartialEq)]
pub enum LeaveOneOutPlan {
    /// The weighted mean of all others.
    Mean {
        /// One for each row.
        weights: Option<Vec<f64>>,
    },
    /// The median of each column of all others.
    Median,
    /// The trimmed mean of each column of all others.
    TrimmedMean {
        /// Values dropped at either end.
        trim: usize,
    },
    /// A plan of its own for each, among all rows.
    Each(Vec<Plan>),
}

impl LeaveOneOutPlan {
    /// The plans of `rule` for all updates but one that `geometry` is of.
    ///
    /// # Errors
    /// As [`Rule::check`] for one device less and [`Rule::plan`].
    pub fn of(rule: &dyn Rule, geometry: &Geometry<'_>, byzantine: Byzantine) -> Result<Self, RuleError> {
        let devices = geometry.devices();
        rule.check(devices.saturating_sub(1), byzantine)?;
        let plan = |left_out| rule.plan(&Round::without(geometry, byzantine, left_out));
        // Kept with their errors so far: to take them out takes as long as to make most plans.
        let plans: Vec<_> = if rule.in_turn() {
            (0..devices).map(plan).collect()
        } else {
            (0..devices).into_par_iter().map(plan).collect()
        };
        match statistic_of_all(&plans) {
            Some(Statistic::Median) => return Ok(LeaveOneOutPlan::Median),
            Some(Statistic::TrimmedMean { trim }) => return Ok(LeaveOneOutPlan::TrimmedMean { trim }),
            _ => {}
        }
        if let Ok(Plan::Mean { .. }) = plans[0]
            && let Plan::Mean { weights } = rule.plan(&Round::new(geometry, byzantine))?
            && plans.iter().enumerate().all(|(row, plan)| is_mean_without(plan, weights.as_deref(), row))
        {
            return Ok(LeaveOneOutPlan::Mean { weights });
        }
        let among_all = |(left_out, plan): (usize, Result<Plan, _>)| Ok(plan?.among_all(left_out, devices));
        Ok(LeaveOneOutPlan::Each(
            plans.into_iter().enumerate().map(among_all).collect::<Result<_, RuleError>>()?,
        ))
    }
}

/// The statistic that each plan has of all columns, if it is the same.
fn statistic_of_all(plans: &[Result<Plan, RuleError>]) -> Option<Statistic> {
    let statistic = |plan: &_| match plan {
        Ok(Plan::Columns { statistic, rows: None }) => Some(*statistic),
        _ => None,
    };
    let first = statistic(&plans[0]);
    first.filter(|_| plans.iter().all(|plan| statistic(plan) == first))
}

/// Whether a plan is the mean with these weights, but for that of a row.
fn is_mean_without(plan: &Result<Plan, RuleError>, weights: Option<&[f64]>, row: usize) -> bool {
    match (plan, weights) {
        (Ok(Plan::Mean { weights: None }), None) => true,
        (Ok(Plan::Mean { weights: Some(others) }), Some(all)) => {
            all[..row].iter().chain(&all[row + 1..]).eq(others)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_stays_as_it_is_whatever_rows_it_is_said_to_be_of() {
        let given = |used: Option<&[usize]>| Plan::Given {
            values: Arc::from([1.0, 2.0]),
            used: used.map(<[usize]>::to_vec),
        };
        assert_eq!(given(None).used(3), [0, 1, 2]);
        assert_eq!(given(Some(&[2, 0])).used(3), [0, 2]);
        assert_eq!(given(Some(&[0, 1])).among_all(1, 3), given(Some(&[0, 2])));
        assert_eq!(given(None).among_all(0, 3), given(Some(&[1, 2])));
        let parts = [Combination::of(vec![0.5, 0.5, 0.0]), Combination::row(2, 3)];
        assert_eq!(given(Some(&[1])).of_parts(&parts), given(Some(&[2])));
        assert_eq!(given(None).of_parts(&parts).used(3), [0, 1, 2]);
    }
}
