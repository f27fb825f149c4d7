//! Settings that several attacks have.

use input::unfit::{Unfit, require};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, Conditions, LabelFlip, Needs, Trigger, View};

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

    /// The rows of the models that an attacker with this knowledge crafts from.
    pub fn rows(self, view: &View<'_>) -> Vec<u32> {
        match self {
            Knowledge::Partial => view.colluders.to_vec(),
            Knowledge::Full => view.everyone(),
        }
    }

    /// That an attacker with this knowledge can tell how updates differ: of one alone it cannot.
    ///
    /// # Errors
    /// As [`Attack::check`](super::Attack::check).
    pub(super) fn check_spread(self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        let compromised = conditions.compromised;
        require(self == Knowledge::Full || compromised >= 2, "fleet.compromised", || {
            format!(
                "{compromised} is less than the 2 devices from whose updates the attack takes, under partial \
                 knowledge, how far updates differ"
            )
        })
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

/// By what compromised devices poison their data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Poison {
    /// By a trigger: the keys of the attack `trigger`.
    #[default]
    Trigger,
    /// By other labels: the keys of the attack `label-flip`.
    LabelFlip,
}

impl Poison {
    /// The attack on data that it is.
    pub(super) fn of<'a>(self, trigger: &'a Trigger, flip: &'a LabelFlip) -> &'a dyn Attack {
        match self {
            Poison::Trigger => trigger,
            Poison::LabelFlip => flip,
        }
    }

    /// Whether that attack makes sense under `conditions`, and no key is of the other.
    pub(super) fn check(
        self,
        trigger: &Trigger,
        flip: &LabelFlip,
        conditions: &Conditions<'_>,
    ) -> Result<(), Unfit> {
        let is_used = match self {
            Poison::Trigger => *flip == LabelFlip::default(),
            Poison::LabelFlip => *trigger == Trigger::default(),
        };
        require(is_used, "attack.poison", || {
            format!("is {self:?}, and a key of the other attack on data is given; leave it out")
        })?;
        self.of(trigger, flip).check(conditions)
    }
}
