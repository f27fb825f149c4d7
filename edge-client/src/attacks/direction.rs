//! The direction in which the global model would move without attack (paper section 3.1).

use shared::rules::{Rule, Updates};
use shared::scenario::{Direction, Scenario};

use super::statistics::mean;
use super::{AttackError, View};

/// Where full knowledge takes the direction from: the rule whose aggregate of all before-attack models says where the
/// global model would go, or their mean.
pub(super) struct WithoutAttack {
    /// The plain mean if `None`.
    pub(super) rule: Option<Box<dyn Rule>>,
}

impl WithoutAttack {
    pub(super) fn new(scenario: &Scenario) -> Self {
        WithoutAttack { rule: (scenario.attack.direction == Direction::Rule).then(|| scenario.rule()) }
    }

    /// What the global model would be.
    pub(super) fn aggregate(&self, view: &View<'_>) -> Result<Vec<f64>, AttackError> {
        let everyone = view.everyone();
        match &self.rule {
            None => Ok(mean(&everyone)),
            Some(rule) => {
                let aggregate = rule.aggregate(&Updates::new(&everyone, None)?)?;
                Ok(aggregate.into_iter().map(f64::from).collect())
            }
        }
    }
}

/// Per coordinate whether `aggregate` exceeds the global model. Not to move is not to rise, as the paper's partial
/// attack has it.
pub(super) fn rises(aggregate: &[f64], global: &[f32]) -> Vec<bool> {
    aggregate.iter().zip(global).map(|(aggregate, global)| *aggregate > f64::from(*global)).collect()
}

/// The paper's s: +1 where the global model would rise, else -1.
pub(super) fn signs(aggregate: &[f64], global: &[f32]) -> Vec<f64> {
    rises(aggregate, global).into_iter().map(|rises| if rises { 1.0 } else { -1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinate_that_stands_still_counts_as_falling() {
        assert_eq!(signs(&[1.0, 2.0, 3.0], &[2.0; 3]), [-1.0, -1.0, 1.0]);
    }
}
