//! Defenses: stages before the rule, which keep harmful updates from it (paper section 5).
//!
//! The stages of `[[defense]]` act one after the other, each on what the one before has left. Those of the paper judge updates
//! by a few validation examples: the updates of a round are aggregated once with all of them (A) and, for each update i, once
//! without it (Bi). The impact of i is how much worse the aggregate does on the examples *with* i:
//!
//! | stage | impact of i | removes |
//! |---|---|---|
//! | [`ErrorRateRejection`] (ERR) | error rate(A) - error rate(Bi) | the c updates of largest impact |
//! | [`LossRejection`] (LFR) | cross-entropy(A) - cross-entropy(Bi) | the c updates of largest impact |
//! | [`Union`] | - | what either of the two removes |
//!
//! [`Spectral`] goes by what the model of each update makes of such examples. The other stages go by lengths, angles, distances
//! and signs of the updates. Some remove updates; others put combinations of updates in their place ([`Mixture`]), which are
//! not computed before a stage judges by examples, or the rule needs them.
//!
//! [`Roni`] and [`Trim`] leave updates alone: by them, a device looks for poison among its own examples before it trains
//! ([`Stage::sanitise`]).
//!
//! The rule then aggregates the rest. It assumes as many Byzantine devices as before, although there are fewer updates and,
//! one hopes, fewer Byzantine ones: the aggregator does not know how many of them it caught. A scenario where that cannot work
//! is refused ([`TooFewUpdates`]). For the same reason the round machine leaves the model as it is in a round where too few
//! devices answer.

mod arc;
mod bucketing;
mod clip;
mod clipped_clustering;
mod clusters;
mod dnc;
mod err;
mod flame;
mod fldetector;
mod judging;
mod leave_one_out;
mod lengths;
mod lfr;
mod nnm;
mod norm_sign;
mod pipeline;
mod roni;
mod small_model;
mod spectral;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trim;
mod union;

use std::collections::BTreeSet;
use std::fmt::Debug;

use input::unfit::Unfit;
use learning::data::Shard;
use learning::evaluation::Evaluation;
use learning::models::ModelError;
use learning::random::Stream;
use robust::{Byzantine, Combination, OtherProgram, Round, RuleError, State};
use wire::identity::DeviceId;

pub use arc::AdaptiveClipping;
pub use bucketing::Bucketing;
pub use clip::Clip;
pub use clipped_clustering::ClippedClustering;
pub use dnc::DivideAndConquer;
pub use err::ErrorRateRejection;
pub use flame::Flame;
pub use fldetector::FlDetector;
pub use judging::{Judging, Ties};
pub use leave_one_out::{LeaveOneOut, TieBreaker};
pub use lfr::LossRejection;
pub use nnm::NearestNeighbourMixing;
pub use norm_sign::NormSign;
pub use pipeline::{Arriving, Defense, Mixtures, Screened, among};
pub use roni::Roni;
pub use spectral::Spectral;
pub use trim::Trim;
pub use union::Union;

use crate::tensor_executor::TensorError;

/// A stage before the rule: it tells harmful updates from others, or mixes them.
pub trait Stage: Debug + Send + Sync {
    /// Fills in the settings that follow from how many Byzantine devices the scenario assumes.
    fn resolve(&mut self, _byzantine: usize) {}

    /// Whether the stage makes sense.
    ///
    /// # Errors
    /// The dotted key that is wrong, and what would be right.
    fn check(&self) -> Result<(), Unfit> {
        Ok(())
    }

    /// How many test examples it judges updates by, if it calls [`Gate::evaluate`] or [`Gate::represent`]; they are drawn
    /// once for the run.
    fn validation_examples(&self) -> usize {
        0
    }

    /// What a device whose client is honest trains on in place of `shard`: some of its examples, at least one. It is asked
    /// once, before the run.
    ///
    /// # Errors
    /// If the shard is too small for that.
    fn sanitise(&self, shard: Shard, _random: &mut Stream) -> Result<Shard, DefenseError> {
        Ok(shard)
    }

    /// How few rows it leaves of those of so many devices, at the least; by default all.
    fn leaves(&self, devices: usize, _byzantine: Byzantine) -> usize {
        devices
    }

    /// What it lets through, by default all rows. `state` is what it has kept of earlier rounds, and takes what it keeps of this
    /// one; that of a round which changes no model is lost.
    ///
    /// # Errors
    /// Those of what it asks of the round.
    fn pass(&self, _gate: &Gate<'_>, _state: &mut State) -> Result<Passed, DefenseError> {
        Ok(Passed::AllBut(BTreeSet::new()))
    }

    /// The program that judges, if that is another one than this: it is started only if it has been allowed.
    fn program(&self) -> Option<&dyn OtherProgram> {
        None
    }
}

/// What a stage lets through.
#[derive(Clone, Debug, PartialEq)]
pub enum Passed {
    /// All rows but these.
    AllBut(BTreeSet<usize>),
    /// Other rows, at least one. What no row is made of has been removed.
    Mixed(Vec<Mixture>),
}

/// A row that is made of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// The row in whose place it comes, and by whose device it goes from then on. Mixtures are in the order of these rows,
    /// of which each is there once.
    pub place: usize,
    /// What it is.
    pub of: Combination,
}

/// The updates that a stage is to judge, in ascending order of device.
pub struct Gate<'a> {
    /// The seed of the run.
    pub seed: u64,
    /// The compromised devices, which no aggregator can know: for settings that ask how good or bad a defense can be at all,
    /// as [`Ties`] does.
    pub attackers: &'a BTreeSet<DeviceId>,
    /// The round.
    pub round: u32,
    /// The sender of each row.
    pub devices: &'a [DeviceId],
    /// The updates, as a rule sees them: how many are assumed to be Byzantine, and how far they are apart.
    pub updates: Round<'a>,
    /// Evaluates the aggregate with all rows, and without each, on as many examples as
    /// [`Stage::validation_examples`] says.
    pub evaluate: &'a dyn Fn() -> Result<(Evaluation, Vec<Evaluation>), DefenseError>,
    /// What the last layer of each row's model takes of these examples, one after the other.
    pub represent: &'a dyn Fn() -> Result<Vec<Vec<f32>>, DefenseError>,
}

/// Why so few updates cannot be aggregated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TooFewUpdates {
    /// The rule could not even take all of them.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// They are fewer than the scenario wants in a round.
    #[error("{updates} updates are fewer than aggregation.round-quorum = {quorum}")]
    Quorum {
        /// Number of updates.
        updates: usize,
        /// The least.
        quorum: u32,
    },
    /// The rule could not take what the defense may leave.
    #[error("of {devices} updates the defense may remove {removed}, and {source}, or lower defense.remove")]
    Defense {
        /// Number of updates.
        devices: usize,
        /// The most that may be removed.
        removed: usize,
        /// What the rule says to the rest.
        source: RuleError,
    },
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
    /// A shard has no example beside those that others are judged by.
    #[error(
        "defense.train-examples and defense.test-examples = {wanted} leave nothing to judge of a shard that has \
         {available} examples: lower them, or have fewer devices"
    )]
    ShardTooSmall {
        /// How many examples others are judged by.
        wanted: usize,
        /// How many there are.
        available: usize,
    },
    /// All examples of a shard would be dropped.
    #[error("of the {available} examples of a shard none would be left: raise defense.tolerance")]
    NothingLeft {
        /// How many there are.
        available: usize,
    },
    /// They are too few.
    #[error(transparent)]
    TooFew(#[from] TooFewUpdates),
    /// The rule refuses the updates, or all of them but one.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A stage judges by validation examples, and says that it needs none.
    #[error("a stage of the defense judges by validation examples, and says that it needs none")]
    NoExamples,
    /// The model refuses an aggregate or the validation examples.
    #[error("the defense cannot evaluate an aggregate: {0}")]
    Model(#[from] ModelError),
}

impl From<TensorError> for DefenseError {
    fn from(error: TensorError) -> Self {
        match error {
            TensorError::Rule(error) => DefenseError::Rule(error),
            TensorError::Tensor(error) => DefenseError::Model(error.into()),
        }
    }
}
