//! What an aggregation rule is.

use std::fmt::Debug;

use super::{Context, Plan, Round, RuleError, State};

/// One way to aggregate the updates of a round. It says what is to be computed of them, and an
/// [`Executor`](super::Executor) does so, wherever the updates are.
///
/// # Behavior
/// - The result depends on the updates alone, and on what the rule [remembers](Rule::remember): not on the number of
///   threads.
/// - A rule whose condition fails refuses to aggregate; it never degrades to a weaker one.
/// - Values must be finite, which is for the receiver of an update to check. Others never panic, but what comes out of
///   them is unspecified.
pub trait Rule: Debug + Send + Sync {
    /// Fills in the settings that follow from how many Byzantine devices the scenario assumes.
    fn resolve(&mut self, _byzantine: usize) {}

    /// Whether the rule can aggregate the updates of `devices` devices. By default it can if there is one.
    ///
    /// # Errors
    /// The condition that fails, with its numbers.
    fn check(&self, devices: usize, _byzantine: Byzantine) -> Result<(), RuleError> {
        if devices == 0 { Err(RuleError::NoUpdates) } else { Ok(()) }
    }

    /// What the aggregate of `round` is. The number of its devices has passed [`Rule::check`].
    ///
    /// # Errors
    /// Those of what it asks of the round.
    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError>;

    /// Keeps in `state` what later rounds need to know of this one, in which the global model has become `aggregate`, d
    /// values; by default nothing. They find it in [`Round::state`].
    ///
    /// # Errors
    /// Those of what it asks of the round.
    fn remember(&self, _round: &Round<'_>, _aggregate: &[f32], _state: &mut State) -> Result<(), RuleError> {
        Ok(())
    }

    /// Whether plans for all updates but one are to be made one after the other, in ascending order of the row that is left
    /// out: what makes them is no function, and would not answer alike in another order.
    fn in_turn(&self) -> bool {
        false
    }

    /// The program that computes it, if that is another one than this: it is started only if it has been allowed.
    fn program(&self) -> Option<&dyn OtherProgram> {
        None
    }

    /// How many training examples the aggregator keeps to itself, to train on them in each round as a device does; the rule
    /// finds what came of it in [`Round::root`].
    fn root_examples(&self) -> usize {
        0
    }
}

/// A program that computes in place of this one, and is started by it.
///
/// Nothing is started before whoever runs this program has allowed it: a scenario alone starts nothing.
pub trait OtherProgram: Debug + Send + Sync {
    /// The program and its arguments, word by word.
    fn command(&self) -> &[String];

    /// Allows it to be started, from now on.
    fn allow(&self);

    /// Ends it, if it is running. It is started again should it be needed.
    fn end(&self);
}

/// A rule in a round of a run, of which more is known than its updates.
///
/// An attacker that tries a rule out does not know that: it has the rule without.
#[derive(Clone, Copy, Debug)]
pub struct InContext<'a> {
    /// The rule.
    pub rule: &'a dyn Rule,
    /// What is known.
    pub context: Context<'a>,
}

impl Rule for InContext<'_> {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        self.rule.check(devices, byzantine)
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        self.rule.plan(&round.in_context(self.context))
    }

    fn remember(&self, round: &Round<'_>, aggregate: &[f32], state: &mut State) -> Result<(), RuleError> {
        self.rule.remember(&round.in_context(self.context), aggregate, state)
    }

    fn in_turn(&self) -> bool {
        self.rule.in_turn()
    }
}

/// How many of the devices whose updates are aggregated a rule assumes to be Byzantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Byzantine {
    /// Those of a whole round (the paper's c).
    pub assumed: usize,
    /// Those among them that have shown themselves and have no update.
    pub excluded: usize,
}

impl Byzantine {
    /// As many as a round has.
    pub fn of(assumed: usize) -> Self {
        Byzantine { assumed, excluded: 0 }
    }

    /// Those whose updates there may be.
    pub fn left(self) -> usize {
        self.assumed.saturating_sub(self.excluded)
    }
}
