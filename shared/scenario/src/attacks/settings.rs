//! Settings that several attacks have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Needs;

/// What the attacker knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Knowledge {
    /// The before-attack models of the compromised devices.
    #[default]
    Partial,
    /// The updates of the benign devices, too.
    Full,
}

impl Knowledge {
    /// What an attack with this knowledge crafts from.
    pub fn needs(self) -> Needs {
        match self {
            Knowledge::Partial => Needs::Colluders,
            Knowledge::Full => Needs::Everyone,
        }
    }
}

/// What an attack is after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The global model is to go against the direction that it would take without attack (paper section 3.1).
    #[default]
    Directed,
    /// The global model is to go far from where it would go, whichever way (the paper's appendix B).
    Undirected,
}

/// Where the directed deviation takes its direction from under full knowledge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// sign(mean of all before-attack models - global model): reproduces the paper's tables.
    #[default]
    Mean,
    /// sign(aggregate of all before-attack models by the rule under attack - global model): the paper read
    /// literally; weaker against trimmed mean and median.
    Rule,
}
