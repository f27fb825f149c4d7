//! The stages of a defense, one after the other.

use std::collections::BTreeSet;

use learning::evaluation::Evaluation;
use robust::{Byzantine, Geometry, Round, RuleError, State};
use wire::identity::DeviceId;

use super::{DefenseError, Gate, Mixture, Passed, Stage};
use input::chosen::Chosen;

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
    /// [`RuleError::NoUpdates`](robust::RuleError::NoUpdates) if there are none, or what fails where they are.
    fn keep(self, rows: &[usize]) -> Result<Self, DefenseError>;

    /// Other rows in place of these. The number of examples behind each is the mean of those of the rows that it is made of.
    ///
    /// # Errors
    /// As [`Arriving::keep`].
    fn mix(self, mixtures: &[Mixture]) -> Result<Self, DefenseError>;
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

/// What a defense has left for the rule.
pub struct Screened<U> {
    /// The rows.
    pub updates: U,
    /// Whose updates were removed, in ascending order.
    pub removed: Vec<DeviceId>,
    /// Whose updates each row is made of.
    sources: Vec<BTreeSet<DeviceId>>,
}

impl<U> Screened<U> {
    /// Whose updates have a part in the rows `used`, in ascending order, unless they are all that were not removed.
    pub fn used(&self, used: &[usize]) -> Vec<DeviceId> {
        let all: BTreeSet<_> = self.sources.iter().flatten().collect();
        let used: BTreeSet<_> = used.iter().flat_map(|row| &self.sources[*row]).collect();
        if used.len() < all.len() { used.into_iter().copied().collect() } else { Vec::new() }
    }
}

impl Defense<'_> {
    /// What is left of `updates` for the rule. `states` are what the stages have kept of earlier rounds, and then with this
    /// one.
    ///
    /// # Errors
    /// As [`Stage::pass`] and [`Arriving::keep`].
    pub fn screen<U: Arriving>(
        &self,
        mut updates: U,
        states: &mut Vec<State>,
    ) -> Result<Screened<U>, DefenseError> {
        states.resize_with(self.stages.len(), State::default);
        let mut removed = BTreeSet::new();
        let mut sources: Vec<_> = updates.devices().iter().map(|device| BTreeSet::from([*device])).collect();
        for (stage, kept) in self.stages.iter().zip(states) {
            match self.pass(&**stage, &updates, kept)? {
                Passed::AllBut(harmful) if harmful.is_empty() => {}
                Passed::AllBut(harmful) => {
                    let (left, gone): (Vec<_>, Vec<_>) =
                        (0..sources.len()).partition(|row| !harmful.contains(row));
                    removed.extend(gone.iter().flat_map(|row| &sources[*row]));
                    sources = left.iter().map(|row| sources[*row].clone()).collect();
                    updates = updates.keep(&left)?;
                }
                Passed::Mixed(mixtures) if mixtures.is_empty() => return Err(RuleError::NoUpdates.into()),
                Passed::Mixed(mixtures) => {
                    let made_of = |mixture: &Mixture| {
                        let rows = mixture.plan.used(sources.len());
                        rows.iter().flat_map(|row| &sources[*row]).copied().collect()
                    };
                    sources = mixtures.iter().map(made_of).collect();
                    updates = updates.mix(&mixtures)?;
                }
            }
        }
        let left: BTreeSet<_> = sources.iter().flatten().collect();
        let removed = removed.into_iter().filter(|device| !left.contains(device)).collect();
        Ok(Screened { updates, removed, sources })
    }

    fn pass<U: Arriving>(
        &self,
        stage: &dyn Stage,
        updates: &U,
        kept: &mut State,
    ) -> Result<Passed, DefenseError> {
        let geometry = updates.geometry();
        let gate = Gate {
            seed: self.seed,
            attackers: self.attackers,
            round: self.round,
            devices: updates.devices(),
            updates: Round::new(&geometry, self.byzantine),
            evaluate: &|| match stage.validation_examples() {
                0 => Err(DefenseError::NoExamples),
                examples => updates.evaluate(examples),
            },
        };
        stage.pass(&gate, kept)
    }
}

impl Mixture {
    /// The number of examples behind it, of those behind each of the rows that it is made of.
    pub fn examples(&self, examples: &[f64]) -> f64 {
        let rows = self.plan.used(examples.len());
        rows.iter().map(|row| examples[*row]).sum::<f64>() / rows.len() as f64
    }
}
