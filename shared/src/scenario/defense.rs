//! `[defense]`: what stands in front of the aggregation rule (paper section 5).

use serde::{Deserialize, Serialize};

use super::Scenario;
use crate::rules::RuleError;

/// `[defense]`: which updates are removed before the rule aggregates the rest (paper section 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Defense {
    /// The defense.
    pub kind: DefenseKind,
    /// Test examples, drawn once for the run, that updates are judged by.
    pub validation_examples: u32,
    /// How many updates ERR and LFR each remove in a round (the paper's c); `aggregation.byzantine` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<u32>,
    /// Which of equally harmful updates are removed first.
    pub ties: Ties,
}

impl Default for Defense {
    fn default() -> Self {
        Defense { kind: DefenseKind::None, validation_examples: 100, remove: None, ties: Ties::Drawn }
    }
}

/// The defenses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefenseKind {
    /// The rule gets every update.
    None,
    /// Error rate based rejection: removes what raises the validation error most.
    Err,
    /// Loss function based rejection: removes what raises the validation loss most.
    Lfr,
    /// Removes what either of the two removes.
    Union,
}

/// Which of equally harmful updates a defense removes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ties {
    /// Those that a draw for each device and round puts first.
    Drawn,
    /// Those of compromised devices: the most that the defense can achieve. For research: no aggregator can know them.
    Compromised,
    /// Those of benign devices: the least that it achieves.
    Benign,
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

impl Scenario {
    /// How many updates the defense's parts each remove (the paper's c); 0 without a defense.
    pub fn removals(&self) -> usize {
        match self.defense.kind {
            DefenseKind::None => 0,
            _ => self.defense.remove.unwrap_or_else(|| self.byzantine()) as usize,
        }
    }

    /// The scenario where so many fewer Byzantine devices remain among those whose updates there are.
    #[must_use]
    pub fn with_fewer_byzantine(&self, fewer: u32) -> Scenario {
        let mut scenario = self.clone();
        let byzantine = self.byzantine();
        let less = |count: Option<u32>| Some(count.unwrap_or(byzantine).saturating_sub(fewer));
        scenario.aggregation.byzantine = less(Some(byzantine));
        scenario.aggregation.trim = less(self.aggregation.trim);
        scenario.defense.remove = less(self.defense.remove);
        scenario
    }

    /// With how many fewer Byzantine devices than the scenario's the rule and the defense can take a round of `updates`
    /// updates, where `known` devices of the selection have shown themselves Byzantine and have no update.
    ///
    /// Each of those leaves one fewer among the rest, so that none of them can keep the others from being aggregated. With
    /// a quorum (`aggregation.round-quorum`), so many updates are aggregated whoever is missing. It is never fewer than it
    /// must be.
    ///
    /// # Errors
    /// [`TooFewUpdates`] with the condition that fails.
    pub fn fewer_byzantine(&self, updates: usize, known: usize) -> Result<u32, TooFewUpdates> {
        if let Some(quorum) = self.aggregation.round_quorum.filter(|quorum| updates < *quorum as usize) {
            return Err(TooFewUpdates::Quorum { updates, quorum });
        }
        let byzantine = self.byzantine();
        let spared = match self.aggregation.round_quorum {
            Some(_) => byzantine,
            None => u32::try_from(known).map_or(byzantine, |known| known.min(byzantine)),
        };
        let check = |fewer: u32| self.with_fewer_byzantine(fewer).check_updates(updates);
        let Err(reason) = check(0) else { return Ok(0) };
        (1..=spared).find(|&fewer| check(fewer).is_ok()).ok_or(reason)
    }

    /// Checks that the updates of `devices` devices are enough for the rule and the defense.
    ///
    /// The rule keeps its parameters whatever is removed. So it must be able to take every smaller number of
    /// updates that the defense may hand it: all but one, to judge that one, and down to what is left when most
    /// are removed, which for Union is when its parts agree on none. Whether a round counts thus depends on
    /// who answers, never on what an attacker sends.
    ///
    /// # Errors
    /// [`TooFewUpdates`] with the condition that fails.
    pub fn check_updates(&self, devices: usize) -> Result<(), TooFewUpdates> {
        let rule = self.rule();
        rule.check(devices)?;
        let removed = match self.defense.kind {
            DefenseKind::None | DefenseKind::Err | DefenseKind::Lfr => self.removals(),
            DefenseKind::Union => self.removals().saturating_mul(2),
        };
        (devices.saturating_sub(removed)..devices)
            .try_for_each(|left| rule.check(left))
            .map_err(|source| TooFewUpdates::Defense { devices, removed, source })
    }
}
