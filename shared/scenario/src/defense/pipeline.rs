//! The stages of a defense, one after the other.

use std::collections::BTreeSet;

use learning::evaluation::Evaluation;
use robust::{Byzantine, Combination, Context, Geometry, InContext, Mixing, Round, Rule, RuleError, State};
use wire::identity::DeviceId;

use super::{DefenseError, Gate, Mixture, Passed, Stage};
use input::chosen::Chosen;

/// The updates of a round on their way to the rule, wherever they are.
pub trait Arriving: Sized {
    /// The sender of each row, in ascending order.
    fn devices(&self) -> &[DeviceId];

    /// The number of examples behind each row.
    fn examples(&self) -> &[f64];

    /// What can be measured of the rows.
    fn geometry(&self) -> Geometry<'_>;

    /// How good the aggregate of all rows is on so many validation examples, and that without each.
    ///
    /// # Errors
    /// What the rule says against so many rows, or what fails where they are.
    fn evaluate(&self, examples: usize) -> Result<(Evaluation, Vec<Evaluation>), DefenseError>;

    /// What the last layer of each row's model takes of so many validation examples, one after the other.
    ///
    /// # Errors
    /// If the model refuses a row, or what fails where they are.
    fn represent(&self, examples: usize) -> Result<Vec<Vec<f32>>, DefenseError>;

    /// The rows of these numbers alone, which are in ascending order.
    ///
    /// # Errors
    /// [`RuleError::NoUpdates`](robust::RuleError::NoUpdates) if there are none, or what fails where they are.
    fn keep(self, rows: &[usize]) -> Result<Self, DefenseError>;

    /// Other rows in place of these.
    ///
    /// # Errors
    /// As [`Arriving::keep`].
    fn mix(self, mixtures: &Mixtures) -> Result<Self, DefenseError>;
}

/// Rows that are made of others.
#[derive(Clone, Debug, Default)]
pub struct Mixtures {
    /// By whose device each goes, in ascending order.
    pub devices: Vec<DeviceId>,
    /// The number of examples behind each: the mean of those of the rows that it is made of.
    pub examples: Vec<f64>,
    /// What each is.
    pub of: Vec<Combination>,
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
    /// Rows.
    pub updates: U,
    /// What is made of them, for the rule; if there is none, it is these rows themselves.
    pub mixtures: Option<Mixtures>,
    /// Whose updates were removed, in ascending order.
    pub removed: Vec<DeviceId>,
    /// Whose updates each row is made of.
    sources: Vec<BTreeSet<DeviceId>>,
}

impl<U: Arriving> Screened<U> {
    /// Who sent what the rule aggregates.
    pub fn devices(&self) -> &[DeviceId] {
        self.mixtures.as_ref().map_or_else(|| self.updates.devices(), |mixtures| &mixtures.devices)
    }

    /// What `compute` makes of `rule`, as a rule of the rows.
    pub fn ruled<T>(&self, rule: &InContext<'_>, compute: impl FnOnce(&dyn Rule) -> T) -> T {
        among(rule, self.devices(), |rule| match &self.mixtures {
            None => compute(rule),
            Some(mixtures) => {
                compute(&Mixing { rule, mixtures: &mixtures.of, examples: Some(&mixtures.examples) })
            }
        })
    }

    /// Whose updates have a part in the rows `used`, in ascending order, unless they are all that were not removed.
    pub fn used(&self, used: &[usize]) -> Vec<DeviceId> {
        let used: BTreeSet<_> = used.iter().flat_map(|row| &self.sources[*row]).collect();
        let all = self.left();
        if used.len() < all.len() { used.into_iter().copied().collect() } else { Vec::new() }
    }

    /// Whose updates are left.
    fn left(&self) -> BTreeSet<DeviceId> {
        let of = self.mixtures.as_ref().map(|mixtures| &mixtures.of);
        let rows: BTreeSet<usize> = of.map_or_else(
            || (0..self.sources.len()).collect(),
            |of| of.iter().flat_map(Combination::used).collect(),
        );
        rows.into_iter().flat_map(|row| &self.sources[row]).copied().collect()
    }

    /// The rows that `left` says of those that the rule would have.
    fn keep(mut self, left: &[usize]) -> Result<Self, DefenseError> {
        if let Some(mixtures) = &mut self.mixtures {
            if left.is_empty() {
                return Err(RuleError::NoUpdates.into());
            }
            *mixtures = Mixtures {
                devices: left.iter().map(|row| mixtures.devices[*row]).collect(),
                examples: left.iter().map(|row| mixtures.examples[*row]).collect(),
                of: left.iter().map(|row| mixtures.of[*row].clone()).collect(),
            };
            return Ok(self);
        }
        let sources = left.iter().map(|row| self.sources[*row].clone()).collect();
        Ok(Screened { updates: self.updates.keep(left)?, sources, ..self })
    }

    /// Other rows in place of those that the rule would have.
    fn mix(mut self, mixed: Vec<Mixture>) -> Result<Self, DefenseError> {
        if mixed.is_empty() {
            return Err(RuleError::NoUpdates.into());
        }
        let devices = self.devices();
        let devices = mixed.iter().map(|mixture| devices[mixture.place]).collect();
        let of: Vec<Combination> = match &self.mixtures {
            None => mixed.into_iter().map(|mixture| mixture.of).collect(),
            Some(parts) => mixed.iter().map(|mixture| mixture.of.of_parts(&parts.of)).collect(),
        };
        let behind = self.updates.examples();
        let examples = of.iter().map(|of| {
            let (count, sum) = of.used().fold((0, 0.0), |(count, sum), row| (count + 1, sum + behind[row]));
            if count == 0 { 0.0 } else { sum / f64::from(count) }
        });
        self.mixtures = Some(Mixtures { devices, examples: examples.collect(), of });
        Ok(self)
    }

    /// The same, with rows that are what the rule would have.
    fn computed(mut self) -> Result<Self, DefenseError> {
        if let Some(mixtures) = self.mixtures.take() {
            let made_of = |of: &Combination| of.used().flat_map(|row| &self.sources[row]).copied().collect();
            self.sources = mixtures.of.iter().map(made_of).collect();
            self.updates = self.updates.mix(&mixtures)?;
        }
        Ok(self)
    }
}

/// What `compute` makes of `rule` where updates are of `devices`, row by row.
pub fn among<T>(rule: &InContext<'_>, devices: &[DeviceId], compute: impl FnOnce(&dyn Rule) -> T) -> T {
    let devices: Vec<u32> = devices.iter().map(|device| device.0).collect();
    let InContext { rule, context } = *rule;
    compute(&InContext { rule, context: Context { devices: &devices, ..context } })
}

impl Defense<'_> {
    /// What is left of `updates` for the rule. `states` are what the stages have kept of earlier rounds, and then with this
    /// one.
    ///
    /// # Errors
    /// As [`Stage::pass`] and [`Arriving::keep`].
    pub fn screen<U: Arriving>(
        &self,
        updates: U,
        states: &mut Vec<State>,
    ) -> Result<Screened<U>, DefenseError> {
        states.resize_with(self.stages.len(), State::default);
        let all = updates.devices().to_vec();
        let sources = all.iter().map(|device| BTreeSet::from([*device])).collect();
        let mut screened = Screened { updates, mixtures: None, removed: Vec::new(), sources };
        for (stage, kept) in self.stages.iter().zip(states) {
            if stage.validation_examples() > 0 {
                // Judging takes models that are there.
                screened = screened.computed()?;
            }
            screened = match self.pass(&**stage, &screened, kept)? {
                Passed::AllBut(harmful) if harmful.is_empty() => screened,
                Passed::AllBut(harmful) => {
                    let rows = 0..screened.devices().len();
                    screened.keep(&rows.filter(|row| !harmful.contains(row)).collect::<Vec<_>>())?
                }
                Passed::Mixed(mixtures) => screened.mix(mixtures)?,
            };
        }
        let left = screened.left();
        screened.removed = all.into_iter().filter(|device| !left.contains(device)).collect();
        Ok(screened)
    }

    fn pass<U: Arriving>(
        &self,
        stage: &dyn Stage,
        screened: &Screened<U>,
        kept: &mut State,
    ) -> Result<Passed, DefenseError> {
        let arrived = screened.updates.geometry();
        let mixed = screened.mixtures.as_ref().map(|it| arrived.mixed(&it.of, Some(&it.examples)));
        let gate = Gate {
            seed: self.seed,
            attackers: self.attackers,
            round: self.round,
            devices: screened.devices(),
            updates: Round::new(mixed.as_ref().unwrap_or(&arrived), self.byzantine),
            evaluate: &|| match stage.validation_examples() {
                0 => Err(DefenseError::NoExamples),
                examples => screened.updates.evaluate(examples),
            },
            represent: &|| match stage.validation_examples() {
                0 => Err(DefenseError::NoExamples),
                examples => screened.updates.represent(examples),
            },
        };
        stage.pass(&gate, kept)
    }
}
