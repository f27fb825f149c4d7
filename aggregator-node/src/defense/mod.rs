//! Defenses: what keeps harmful updates from the aggregation rule (paper section 5).
//!
//! The aggregator holds a few validation examples. It aggregates the updates of a round once with all of them (A)
//! and, for each update i, once without it (Bi). What the aggregate does worse on the examples *with* i is the
//! impact of i:
//!
//! | defense | impact of i | removes |
//! |---|---|---|
//! | [`ErrorRateRejection`] (ERR) | error rate(A) - error rate(Bi) | the c updates of largest impact |
//! | [`LossRejection`] (LFR) | cross-entropy(A) - cross-entropy(Bi) | the c updates of largest impact |
//! | [`Union`] | - | what either of the two removes |
//!
//! The rule then aggregates the rest. It keeps its parameters, Krum its c and the trimmed mean its β, although there
//! are fewer updates and, one hopes, fewer Byzantine ones: the aggregator does not know how many of them it caught.
//! [`Scenario::check_updates`](shared::scenario::Scenario::check_updates) refuses a scenario where that cannot work,
//! and has the round machine leave the model as it is in a round where too few devices answer.
//!
//! # Layout
//! - `err`, `lfr`, `union`: the defenses.
//! - [`LeaveOneOut`]: what they go by.
//! - [`Removals`]: what a run's defense removes by that.
//! - [`Screening`]: a defense at work in a run.
//!
//! # Adding a defense
//! Write its file, declare it below, give it a variant of [`DefenseKind`] and a line in [`build`].

mod err;
#[cfg(test)]
pub(crate) mod examples;
mod leave_one_out;
mod lfr;
mod removals;
mod screening;
mod union;

use std::collections::BTreeSet;

use shared::models::ModelError;
use shared::rules::RuleError;
use shared::scenario::{DefenseKind, TooFewUpdates};

pub use err::ErrorRateRejection;
pub use leave_one_out::{LeaveOneOut, TieBreaker};
pub use lfr::LossRejection;
pub use removals::Removals;
pub use screening::{Screening, validation_examples};
pub use union::Union;

/// One way to tell harmful updates from others.
pub trait Defense: Send + Sync {
    /// The rows of the updates to remove, `count` of them by each criterion of the defense, or all if there are
    /// fewer.
    fn remove(&self, evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize>;
}

/// The registry: the defense called `kind`, if it is one.
pub fn build(kind: DefenseKind) -> Option<Box<dyn Defense>> {
    match kind {
        DefenseKind::None => None,
        DefenseKind::Err => Some(Box::new(ErrorRateRejection)),
        DefenseKind::Lfr => Some(Box::new(LossRejection)),
        DefenseKind::Union => Some(Box::new(Union)),
    }
}

/// Why a defense cannot work.
#[derive(Debug, thiserror::Error)]
pub enum DefenseError {
    /// The test set is smaller than the sample that is to be drawn from it.
    #[error(
        "defense.validation-examples = {wanted}, but the test set has {available} examples: lower it to at most that"
    )]
    TooFewExamples {
        /// The number that the scenario asks for.
        wanted: usize,
        /// The number that there is.
        available: usize,
    },
    /// They are too few.
    #[error(transparent)]
    TooFew(#[from] TooFewUpdates),
    /// The rule refuses the updates, or all of them but one.
    #[error("the defense cannot aggregate: {0}")]
    Rule(#[from] RuleError),
    /// The model refuses an aggregate or the validation examples.
    #[error("the defense cannot evaluate an aggregate: {0}")]
    Model(#[from] ModelError),
}
