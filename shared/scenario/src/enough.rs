//! Whether the updates of a round are enough for the defense and the rule.

use robust::Byzantine;

use super::Scenario;
use crate::defense::TooFewUpdates;

impl Scenario {
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
        let check = |fewer: u32| self.check_assuming(updates, self.assumed(fewer));
        let Err(reason) = check(0) else { return Ok(0) };
        (1..=spared).find(|&fewer| check(fewer).is_ok()).ok_or(reason)
    }

    /// What rule and defense assume where so many fewer Byzantine devices remain among those whose updates there are.
    pub fn assumed(&self, fewer: u32) -> Byzantine {
        Byzantine { assumed: self.byzantine() as usize, excluded: fewer as usize }
    }

    /// Checks that the updates of `devices` devices are enough for the rule and the defense.
    ///
    /// The rule assumes as many Byzantine devices whatever is removed. So it must be able to take every smaller number of
    /// updates that the defense may leave: all but one, to judge that one, and down to what is left when most
    /// are removed, which for Union is when its parts agree on none. Whether a round counts thus depends on
    /// who answers, never on what an attacker sends.
    ///
    /// # Errors
    /// [`TooFewUpdates`] with the condition that fails.
    pub fn check_updates(&self, devices: usize) -> Result<(), TooFewUpdates> {
        self.check_assuming(devices, self.assumed(0))
    }

    fn check_assuming(&self, devices: usize, byzantine: Byzantine) -> Result<(), TooFewUpdates> {
        let rule = &self.aggregation.rule;
        rule.check(devices, byzantine)?;
        let least = self.defense.iter().fold(devices, |left, stage| stage.leaves(left, byzantine));
        let removed = devices - least;
        (least..devices)
            .try_for_each(|left| rule.check(left, byzantine))
            .map_err(|source| TooFewUpdates::Defense { devices, removed, source })
    }
}
