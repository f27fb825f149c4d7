//! What a rule asks to be computed of an update matrix, on a GPU.

use shared::rules::{Bulyan, Krum, MeanWeights, RuleError, RuleName, RuleParameters};

use super::columns::{Columns, MeanOf};
use super::distances::distances;
use super::matrix::Matrix;
use super::program::Statistic;

/// How a rule is computed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Computation {
    /// A mean of each column, in which rows may count differently.
    Mean,
    /// A statistic of each column.
    Columns(Statistic),
    /// Selections by distance.
    Krum(Krum),
    Bulyan(Bulyan),
}

/// What makes one aggregate, or one for each row without it.
pub(super) enum Plan {
    /// A statistic of each column.
    Columns(Columns),
    /// For each aggregate a row of the matrix.
    Rows(Vec<usize>),
    /// For each aggregate a statistic of each column of some of the rows.
    Selections(Columns, Vec<Vec<usize>>),
}

impl Computation {
    pub(super) fn of(name: RuleName, parameters: &RuleParameters) -> Self {
        let &RuleParameters { byzantine, trim, theta, gamma } = parameters;
        match name {
            RuleName::Mean => Computation::Mean,
            RuleName::Median => Computation::Columns(Statistic::Median),
            RuleName::TrimmedMean => Computation::Columns(Statistic::TrimmedMean { trim }),
            RuleName::Krum => Computation::Krum(Krum { byzantine }),
            RuleName::Bulyan => Computation::Bulyan(Bulyan { byzantine, theta, gamma }),
        }
    }

    /// What is to be computed for the aggregate of all rows.
    pub(super) fn aggregate(self, matrix: &Matrix<'_>, weights: MeanWeights) -> Result<Plan, RuleError> {
        Ok(match self {
            Computation::Mean => {
                let mean = MeanOf { weights: weights.each, shares: vec![weights.total] };
                Plan::Columns(Columns { statistic: Statistic::Mean, mean: Some(mean), without_each: false })
            }
            Computation::Columns(statistic) => {
                Plan::Columns(Columns { statistic, mean: None, without_each: false })
            }
            Computation::Krum(krum) => Plan::Rows(vec![krum.select_by(&distances(matrix)?)?]),
            Computation::Bulyan(bulyan) => {
                let count = bulyan.averaged(matrix.devices())?;
                let selection = bulyan.select(&distances(matrix)?)?;
                Plan::Selections(around_median(count), vec![selection])
            }
        })
    }

    /// What is to be computed for the aggregates without each row.
    pub(super) fn without_each(self, matrix: &Matrix<'_>, weights: MeanWeights) -> Result<Plan, RuleError> {
        Ok(match self {
            Computation::Mean => {
                let mean = MeanOf { shares: weights.shares_without_each()?, weights: weights.each };
                Plan::Columns(Columns { statistic: Statistic::Mean, mean: Some(mean), without_each: true })
            }
            Computation::Columns(statistic) => {
                Plan::Columns(Columns { statistic, mean: None, without_each: true })
            }
            Computation::Krum(krum) => Plan::Rows(krum.select_without_each(&distances(matrix)?)?),
            Computation::Bulyan(bulyan) => {
                let count = bulyan.averaged(matrix.devices() - 1)?;
                let selections = bulyan.select_without_each(&distances(matrix)?)?;
                Plan::Selections(around_median(count), selections)
            }
        })
    }
}

/// Bulyan's second stage, for averages of `count` values.
fn around_median(count: usize) -> Columns {
    Columns { statistic: Statistic::MeanAroundMedian { count }, mean: None, without_each: false }
}
