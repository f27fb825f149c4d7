//! Byzantine-robust aggregation rules: what turns the updates of a round into the next global model.
//!
//! Each is tested against its definition, taken word by word on small matrices. Notation of the paper (Fang et
//! al., USENIX Security 2020, section 2.2): m devices, c of them Byzantine, d parameters.
//!
//! | rule | output | condition |
//! |---|---|---|
//! | [`Mean`] | coordinate-wise mean, weighted by examples where weights are given | - |
//! | [`Krum`] | the update with the nearest neighbours | c < (m - 2) / 2 |
//! | [`Bulyan`] | coordinate-wise mean near the median of what Krum selects, θ times | c <= (m - 3) / 4, θ <= m - 2c, 1 <= γ <= θ - 2c |
//! | [`TrimmedMean`] | coordinate-wise mean without the β largest and β smallest values | β < m / 2 |
//! | [`Median`] | coordinate-wise median | - |
//!
//! # Adding a rule
//! Write its file, declare it below, give it a variant of [`RuleName`] and a line in [`build`].
//!
//! # Example
//! ```
//! use robust::{RuleName, RuleParameters, Updates, build};
//!
//! let rows: [&[f32]; 3] = [&[1.0, 2.0], &[3.0, 4.0], &[1e30, -1e30]];
//! let median = build(RuleName::Median, &RuleParameters::default());
//! assert_eq!(median.aggregate(&Updates::new(&rows, None)?)?, [3.0, 2.0]);
//! # Ok::<(), robust::RuleError>(())
//! ```

use rayon::prelude::*;

mod ahead;
mod bulyan;
mod columns;
mod distances;
mod error;
mod gram;
mod krum;
mod mean;
mod means;
mod median;
mod name;
mod near_median;
mod near_medians;
mod one_less;
#[cfg(test)]
mod properties;
mod ranks;
mod scores;
mod selection;
mod sorting;
mod steps;
mod subset;
mod tiles;
mod trimmed_mean;
mod updates;

pub use bulyan::Bulyan;
pub use distances::{Distances, MIDST, distance_of_square, euclidean, in_the_midst};
pub use error::RuleError;
pub use krum::Krum;
pub use mean::{Mean, MeanWeights};
pub use median::Median;
pub use name::{RuleName, UnknownRule};
pub use sorting::SortingNetwork;
pub use subset::{aggregate_where, different};
pub use trimmed_mean::TrimmedMean;
pub use updates::Updates;

/// One way to aggregate the updates of a round.
///
/// # Behavior
/// - The result depends on the updates alone: not on the number of threads, and not on earlier rounds.
/// - A rule whose condition fails refuses to aggregate; it never degrades to a weaker one.
/// - Values must be finite, which is for the receiver of an update to check. Others never panic, but what
///   comes out of them is unspecified.
pub trait Rule: Send + Sync {
    /// The name in scenario files and reports: that of the [`RuleName`] it was built from.
    fn name(&self) -> &'static str;

    /// Whether the rule can aggregate the updates of `devices` devices.
    ///
    /// # Errors
    /// By default [`RuleError::NoUpdates`] if there is none; rules with a condition name it and the numbers.
    fn check(&self, devices: usize) -> Result<(), RuleError> {
        if devices == 0 { Err(RuleError::NoUpdates) } else { Ok(()) }
    }

    /// Aggregates m updates of d values each into one of d values.
    ///
    /// # Errors
    /// What [`Rule::check`] reports for the number of rows.
    fn aggregate(&self, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError>;

    /// For each of the m rows the aggregate of all others, d values: what a defense judges an update by.
    ///
    /// They take the place of whatever is in `aggregates`. A rule may write them to the memory that is there: new memory is
    /// cleared first, which takes as long as all else, so let each round have that of the last one.
    ///
    /// By default m aggregations. A rule may have a faster way, whose values must be the same within rounding.
    ///
    /// # Errors
    /// As [`Rule::aggregate`] of m - 1 rows; what is then in `aggregates` is unspecified.
    fn leave_one_out(&self, updates: &Updates<'_>, aggregates: &mut Vec<Vec<f32>>) -> Result<(), RuleError> {
        let rows = (0..updates.len()).into_par_iter();
        let without = |left_out: usize| aggregate_where(self, updates, |row| row != left_out);
        *aggregates = rows.map(without).collect::<Result<_, _>>()?;
        Ok(())
    }
}

/// What the aggregator assumes about the fleet; each rule takes what it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleParameters {
    /// Number of Byzantine devices that Krum and Bulyan are to withstand (the paper's c).
    pub byzantine: usize,
    /// Number of values the trimmed mean drops at each end (the paper's β).
    pub trim: usize,
    /// Number of updates that Bulyan selects (the paper's θ); m - 2c if `None`.
    pub theta: Option<usize>,
    /// Number of values that Bulyan averages (the paper's γ); θ - 2c if `None`.
    pub gamma: Option<usize>,
}

/// The registry: the rule called `name`.
///
/// Parameters are checked against a number of devices, which may change with the round: [`Rule::check`].
pub fn build(name: RuleName, parameters: &RuleParameters) -> Box<dyn Rule> {
    let &RuleParameters { byzantine, trim, theta, gamma } = parameters;
    match name {
        RuleName::Mean => Box::new(Mean),
        RuleName::Krum => Box::new(Krum { byzantine }),
        RuleName::Bulyan => Box::new(Bulyan { byzantine, theta, gamma }),
        RuleName::TrimmedMean => Box::new(TrimmedMean { trim }),
        RuleName::Median => Box::new(Median),
    }
}
