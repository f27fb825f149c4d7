//! What a run keeps from round to round beside the global model.

use std::fmt::Display;
use std::sync::Arc;

use robust::State;

/// The most stages that a scenario may have, which keeps a name in a file from asking for much memory.
pub(crate) const MAX_STAGES: usize = 1_000;

/// What trains at the aggregator.
pub const AGGREGATOR: &str = "aggregator";

fn momentum_of(owner: impl Display) -> String {
    format!("momentum of {owner}")
}

/// The states of a run's rule, optimizer, stages, attack and training after a round. They are part of its checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// That of the rule.
    pub rule: State,
    /// That of the optimizer.
    pub optimizer: State,
    /// Those of the stages before it, in their order.
    pub stages: Vec<State>,
    /// That of the attack, where the bench runs the devices itself: the aggregator of a fleet does not know it.
    pub attack: State,
    /// The momentum of devices, where the bench runs them itself, and of what the aggregator trains.
    pub training: State,
}

impl Remembered {
    /// The momentum of `owner`, a device or [`AGGREGATOR`].
    pub fn momentum(&self, owner: impl Display) -> Option<Arc<[f32]>> {
        self.training.shared(&momentum_of(owner)).cloned()
    }

    /// Sets the momentum of `owner`, if it has one.
    pub fn set_momentum(&mut self, owner: impl Display, momentum: Option<Arc<[f32]>>) {
        if let Some(momentum) = momentum {
            self.training.set(momentum_of(owner), momentum);
        }
    }

    /// All vectors, by names that say whose they are: `rule/...`, `optimizer/...`, `attack/...`, `training/...`,
    /// `stage-1/...`.
    pub fn vectors(&self) -> impl Iterator<Item = (String, &[f32])> {
        let stages = (1..).zip(&self.stages).map(|(number, state)| (format!("stage-{number}"), state));
        let owners = [
            ("rule", &self.rule),
            ("optimizer", &self.optimizer),
            ("attack", &self.attack),
            ("training", &self.training),
        ];
        let owners = owners.map(|(owner, state)| (owner.to_owned(), state));
        owners.into_iter().chain(stages).flat_map(|(owner, state)| {
            state.vectors().map(move |(name, values)| (format!("{owner}/{name}"), values))
        })
    }

    /// Takes one of [`Remembered::vectors`]; false if the name belongs to none of them.
    #[must_use]
    pub fn take(&mut self, name: &str, values: Vec<f32>) -> bool {
        let Some((owner, name)) = name.split_once('/') else { return false };
        let state = match (owner, owner.strip_prefix("stage-").map(str::parse::<usize>)) {
            ("rule", _) => &mut self.rule,
            ("optimizer", _) => &mut self.optimizer,
            ("attack", _) => &mut self.attack,
            ("training", _) => &mut self.training,
            (_, Some(Ok(number @ 1..=MAX_STAGES))) if owner == format!("stage-{number}") => {
                self.stages.resize_with(self.stages.len().max(number), State::default);
                &mut self.stages[number - 1]
            }
            _ => return false,
        };
        state.set(name, values);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_to_whom_they_belong() {
        let mut all = Remembered::default();
        all.rule.set("last", vec![1.0, 2.0]);
        all.attack.set("a/b", vec![3.0]);
        all.optimizer.set("mean", vec![5.0]);
        all.set_momentum(AGGREGATOR, Some([4.0].into()));
        all.set_momentum("device-001", None);
        all.stages = vec![State::default(); 2];
        all.stages[1].set("of device-007", vec![]);
        let mut back = Remembered::default();
        for (name, values) in all.vectors() {
            assert!(back.take(&name, values.to_vec()), "{name}");
        }
        assert_eq!(back, all);
        assert_eq!(back.momentum(AGGREGATOR).as_deref(), Some(&[4.0][..]));
        assert_eq!(back.momentum("device-001"), None);
    }

    #[test]
    fn names_of_nobody_are_refused() {
        for name in [
            "rule",
            "",
            "stage-0/a",
            "stage-99999999999/a",
            "stage-2000/a",
            "stage-01/a",
            "stage-x/a",
            "weights/a",
        ] {
            assert!(!Remembered::default().take(name, vec![]), "{name}");
        }
    }
}
