//! The stages of a defense, one after the other.

use std::collections::BTreeSet;

use super::{DefenseError, Gate, Stage};
use crate::evaluation::Evaluation;
use crate::identity::DeviceId;
use crate::registry::Chosen;
use crate::rules::{Byzantine, Geometry, Round, State};

/// The updates of a round on their way to the rule, wherever they are.
pub trait Arriving: Sized {
    /// The sender of each row, in ascending order.
    fn devices(&self) -> &[DeviceId];

    /// What can be measured of the rows.
    fn geometry(&self) -> Geometry<'_>;

    /// How good the aggregate of all rows is on so many validation examples, and that without each.
    ///
    /// # Errors
    /// What the rule says against so many rows, or what fails where they are.
    fn evaluate(&self, examples: usize) -> Result<(Evaluation, Vec<Evaluation>), DefenseError>;

    /// The rows of these numbers alone, which are in ascending order.
    ///
    /// # Errors
    /// [`RuleError::NoUpdates`](crate::rules::RuleError::NoUpdates) if there are none, or what fails where they are.
    fn keep(self, rows: &[usize]) -> Result<Self, DefenseError>;
}

/// The defense of one round.
pub struct Defense<'a> {
    /// Its stages, in order.
    pub stages: &'a [Chosen<dyn Stage>],
    /// The seed of the run.
    pub seed: u64,
    /// The compromised devices.
    pub attackers: &'a BTreeSet<DeviceId>,
    /// The round.
    pub round: u32,
    /// What is assumed of the senders.
    pub byzantine: Byzantine,
}

impl Defense<'_> {
    /// What is left of `updates` for the rule, and whose were removed, in ascending order. `states` are what the stages
    /// have kept of earlier rounds, and then with this one.
    ///
    /// # Errors
    /// As [`Stage::remove`] and [`Arriving::keep`].
    pub fn screen<U: Arriving>(
        &self,
        mut updates: U,
        states: &mut Vec<State>,
    ) -> Result<(U, Vec<DeviceId>), DefenseError> {
        states.resize_with(self.stages.len(), State::default);
        let mut removed = BTreeSet::new();
        for (stage, state) in self.stages.iter().zip(states) {
            let harmful = {
                let geometry = updates.geometry();
                let gate = Gate {
                    seed: self.seed,
                    attackers: self.attackers,
                    round: self.round,
                    devices: updates.devices(),
                    updates: Round::new(&geometry, self.byzantine),
                    evaluate: &|examples| updates.evaluate(examples),
                };
                stage.remove(&gate, state)?
            };
            removed.extend(harmful.iter().map(|&row| updates.devices()[row]));
            if !harmful.is_empty() {
                let rows = 0..updates.devices().len();
                updates = updates.keep(&rows.filter(|row| !harmful.contains(row)).collect::<Vec<_>>())?;
            }
        }
        Ok((updates, removed.into_iter().collect()))
    }
}
