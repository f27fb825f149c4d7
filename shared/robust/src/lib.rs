//! Byzantine-robust aggregation rules, which turn the updates of a round into the next global model.
//!
//! Each rule is tested against its definition, taken literally on small matrices. The notation is that of the paper (Fang
//! et al., USENIX Security 2020, section 2.2): m devices, c of them Byzantine, d parameters.
//!
//! | rule | output | condition |
//! |---|---|---|
//! | [`Mean`] | coordinate-wise mean, weighted by examples where these are known | - |
//! | [`Krum`] | the update with the nearest neighbours | c < (m - 2) / 2 |
//! | [`MultiKrum`] | the mean of the updates that Krum scores best | c < (m - 2) / 2 |
//! | [`Bulyan`] | coordinate-wise mean of the γ values nearest the median of θ updates that Krum selects | c <= (m - 3) / 4, θ <= m - 2c, 1 <= γ <= θ - 2c |
//! | [`TrimmedMean`] | coordinate-wise mean without the β largest and β smallest values | β < m / 2 |
//! | [`Median`] | coordinate-wise median | - |
//! | [`Meamed`] | coordinate-wise mean of the m - c values nearest the median | c < m / 2 |
//! | [`GeometricMedian`] | the point from which the updates are least far away in sum | c < m / 2 |
//! | [`MedianOfMeans`] | geometric median of the means of k groups of devices | 2c < k <= m |
//! | [`CenteredClipping`] | a few steps of limited length from the last aggregate | - |
//! | [`Cge`] | mean of the m - c shortest updates | c < m / 2 |
//! | [`Mda`], [`Smea`] | mean of the m - c updates of least diameter, or least largest variance | c < m / 2 |
//! | [`Caf`] | weighted mean without what spreads the updates most | c < m / 2 |
//! | [`SignMajority`] | mean, turned around where too few updates agree on the sign | - |
//! | [`FoolsGold`] | mean in which devices that send alike count for less | - |
//! | [`FlTrust`] | mean by the angle with an update that the aggregator has trained | - |
//!
//! # Layout
//! - `rules/`: the rules, one in each file: settings, condition, plan and tests.
//! - [`Rule`], [`Round`], [`Plan`]: a rule looks at a round and returns what is to be computed of its updates.
//! - [`State`]: what a rule keeps from round to round; [`InContext`] joins it to the rule for one round.
//! - [`Gram`], [`Combination`]: rules that go by inner products work on m x m numbers and name m coefficients; [`Mixing`] has a
//!   rule see combinations of updates as updates, without computing them.
//! - [`LeaveOneOutPlan`]: the plans for all updates but one, for each of them.
//! - [`Executor`]: carries plans out; here [`Processors`], elsewhere a GPU. It knows plans and no rules.
//! - [`Rows`]: updates as they lie in memory, for whoever hands them to another program.
//! - `kernels/`: the arithmetic of the processors.
//!
//! # Example
//! ```
//! use robust::{Byzantine, Executor, Median, Processors, Updates};
//!
//! let rows: [&[f32]; 3] = [&[1.0, 2.0], &[3.0, 4.0], &[1e30, -1e30]];
//! let updates = Updates::new(&rows, None)?;
//! let aggregate = Processors.aggregate(&Median {}, &updates, Byzantine::of(1))?;
//! assert_eq!(aggregate.values, [3.0, 2.0]);
//! # Ok::<(), robust::RuleError>(())
//! ```

mod combination;
mod different;
mod draws;
mod error;
mod gram;
mod kernels;
mod mixing;
mod plan;
mod processors;
#[cfg(test)]
mod properties;
mod round;
mod rows;
mod rule;
mod rules;
mod spectrum;
mod state;
mod updates;

pub use combination::Combination;
pub use different::different;
pub use error::RuleError;
pub use gram::Gram;
pub use kernels::distances::{Distances, PIVOT_VALUES, distance_of_square, euclidean, pivot_row};
pub use kernels::mean::MeanWeights;
pub use kernels::selection::Selection;
pub use kernels::sorting::SortingNetwork;
pub use kernels::trimmed_mean::adds_up_in_order;
pub use mixing::Mixing;
pub use plan::{LeaveOneOutPlan, Plan, Statistic};
pub use processors::{Aggregate, Executor, Processors, carry_out, combine};
pub use round::{Context, Geometry, Local, Measure, Measured, Round};
pub use rows::{Form, Rows};
pub use rule::{Byzantine, InContext, OtherProgram, Rule};
pub use rules::*;
pub use spectrum::largest_eigenpair;
pub use state::State;
pub use updates::Updates;
