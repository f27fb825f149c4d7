//! The one file that says everything about a run.
//!
//! ```
//! use shared::scenario::Scenario;
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
//! # Ok::<(), shared::scenario::ScenarioError>(())
//! ```
//!
//! Every key has a default but `name`, `dataset`, `model` and `rounds`; an unknown key is an error. Where the
//! run takes place is chosen on the command line, never here: the same file runs on every bench.

mod data;
mod defense;
mod error;
mod roles;
mod sections;
mod text;
mod validation;

use serde::{Deserialize, Serialize};

pub use data::Data;
pub use defense::{Defense, DefenseKind, Ties, TooFewUpdates};
pub use error::ScenarioError;
pub use roles::AttackRounds;
pub use sections::{
    Aggregation, Attack, AttackKind, Direction, Evaluation, Fleet, Goal, Knowledge, Placement, ResultModel,
    Timing, Training,
};
pub use text::key_of;

use crate::data::DatasetName;
use crate::models::ModelName;

/// Everything about a run: see the module documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    /// Name of the run in reports: `[a-z0-9-]`, at most 64 characters.
    pub name: String,
    /// Seed of every random draw.
    #[serde(default = "sections::one")]
    pub seed: u64,
    /// The data set.
    pub dataset: DatasetName,
    /// The model.
    pub model: ModelName,
    /// Number of rounds.
    pub rounds: u32,
    /// How much of the data set is used.
    #[serde(default)]
    pub data: Data,
    /// Local training.
    #[serde(default)]
    pub training: Training,
    /// The devices.
    #[serde(default)]
    pub fleet: Fleet,
    /// What the aggregator does with the updates.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// Which updates are removed before that.
    #[serde(default)]
    pub defense: Defense,
    /// What the compromised devices do.
    #[serde(default)]
    pub attack: Attack,
    /// When the global model is evaluated.
    #[serde(default)]
    pub evaluation: Evaluation,
    /// How long is waited for devices. Never matters while all of them answer.
    #[serde(default)]
    pub timing: Timing,
}
