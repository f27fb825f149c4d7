//! An experiment: the one file that describes a run, and everything that it may name.
//!
//! ```
//! use scenario::Scenario;
//!
//! let scenario = Scenario::parse("example.toml", r#"
//!     name = "mnist-trimmed-mean-partial"
//!     dataset = "mnist"
//!     model = "logistic-regression"
//!     rounds = 500
//!     [fleet]
//!     devices = 20
//!     compromised = 4
//!     [aggregation]
//!     rule = "trimmed-mean"
//!     [attack]
//!     kind = "trimmed-mean"
//! "#, &["seed=7".to_owned()])?;
//! assert_eq!(scenario.seed, 7);
//! assert_eq!(scenario.attackers().len(), 4);
//! # Ok::<(), scenario::ScenarioError>(())
//! ```
//!
//! Every key has a default except `name`, `dataset`, `model` and `rounds`. An unknown key is an error, and so is one that the
//! chosen rule, optimizer, stage, attack, data set or partition does not have. The command line chooses where the run takes
//! place, never the file: the same file runs on every bench.
//!
//! # Layout
//! The lowest first: a module knows those before it in this list, and none after it.
//!
//! - [`registry`]: entries of one kind by their names, with their settings.
//! - [`remembered`]: what a run keeps from round to round beside the global model.
//! - [`tensor_executor`]: rules on updates that are the rows of a tensor.
//! - [`attacks`], [`defense`]: what compromised devices do, and what keeps harmful updates from the rule.
//! - [`programs`]: rules, stages and attacks that are programs of the user's own.
//! - [`optimizers`]: how the next global model follows from the rule's aggregate.
//! - [`catalogue`]: the models, rules, optimizers, stages, attacks, data sets and partitions that there are.
//! - This file: [`Scenario`]. `reading`: parses one; `sections`, `data`, `fine_tuning`, `named`, `settings`: its keys; `schema`: the
//!   keys for editors; `validation`, `enough`: what must hold; `roles`: who does what in a round; `allowance`: which other
//!   programs it names, and who allows them.
//! - [`attack_record`]: what compromised devices did in a round, as a bench reports it.

mod allowance;
pub mod attack_record;
pub mod attacks;
pub mod catalogue;
pub mod data;
pub mod defense;
mod enough;
mod error;
mod fine_tuning;
mod named;
pub mod optimizers;
pub mod programs;
mod reading;
pub mod registry;
pub mod remembered;
mod roles;
mod schema;
mod sections;
mod settings;
pub mod tensor_executor;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod validation;

use std::sync::Arc;

use serde::Serialize;

pub use allowance::{Allowed, NotAllowed};
pub use data::Data;
pub use error::ScenarioError;
pub use fine_tuning::{FineTuning, StartError, StartingModel};
pub use roles::AttackRounds;
pub use sections::{Aggregation, Attack, Evaluation, Fleet, ResultModel, Timing};
pub use settings::{key_of, table_of};

use learning::data::Source;
use learning::models::Architecture;
use learning::training;

use crate::catalogue::Catalogue;
use crate::defense::Stage;
use crate::optimizers::Optimizer;
use input::chosen::Chosen;

/// Everything about a run: see the module documentation. Resolved: defaults that depend on other keys are filled in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Scenario {
    /// Name of the run in reports: `[a-z0-9-]`, at most 64 characters.
    pub name: String,
    /// Seed of every random draw.
    pub seed: u64,
    /// The data set.
    #[serde(serialize_with = "named::in_short")]
    pub dataset: Chosen<dyn Source>,
    /// The model, with its settings.
    #[serde(serialize_with = "named::in_short")]
    pub model: Chosen<dyn Architecture>,
    /// What the model starts from and what of it stays, which are among its settings as well.
    #[serde(skip)]
    pub fine_tuning: FineTuning,
    /// Number of rounds.
    pub rounds: u32,
    /// How much of the data set is used.
    pub data: Data,
    /// Local training.
    pub training: training::Settings,
    /// The devices.
    pub fleet: Fleet,
    /// What the aggregator does with the updates.
    pub aggregation: Aggregation,
    /// How the next global model follows from what comes of that; without, it is that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Chosen<dyn Optimizer>>,
    /// The stages before that, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub defense: Vec<Chosen<dyn Stage>>,
    /// What the compromised devices do.
    #[serde(skip_serializing_if = "Attack::is_none")]
    pub attack: Attack,
    /// When the global model is evaluated.
    pub evaluation: Evaluation,
    /// How long is waited for devices. Never matters while all of them answer.
    pub timing: Timing,
    /// What it was read by, and what its run is read by.
    #[serde(skip)]
    pub catalogue: Arc<Catalogue>,
}

/// Scenarios are the same in their resolved form.
impl PartialEq for Scenario {
    fn eq(&self, other: &Self) -> bool {
        self.to_toml() == other.to_toml()
    }
}
