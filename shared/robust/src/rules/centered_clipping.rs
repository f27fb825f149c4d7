//! Centered clipping: steps of limited length from where the last round went.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{is_positive, update_of};
use crate::{Byzantine, Combination, Plan, Round, Rule, RuleError, State};

/// What is kept: the aggregate of the last round, as an update.
const LAST: &str = "last";

/// A few steps from the aggregate of the last round, each the mean of what leads to the updates, cut to a length (Karimireddy et
/// al. 2021).
///
/// A step goes from v to v plus the mean of (u - v) min(1, `radius` / |u - v|) over the updates u. The first round begins with no
/// update at all. The paper has devices send their momentum. The number of examples is ignored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CenteredClipping {
    /// The length to which what leads to an update is cut (the paper's tau).
    pub radius: f64,
    /// How many steps there are (the paper's L).
    pub steps: u32,
}

impl Default for CenteredClipping {
    fn default() -> Self {
        CenteredClipping { radius: 10.0, steps: 3 }
    }
}

impl Rule for CenteredClipping {
    fn check(&self, devices: usize, _: Byzantine) -> Result<(), RuleError> {
        is_positive("centered-clipping", "radius", self.radius)?;
        is_positive("centered-clipping", "steps", f64::from(self.steps))?;
        if devices == 0 { Err(RuleError::NoUpdates) } else { Ok(()) }
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let devices = round.devices();
        let last = round.shared_state(LAST);
        let others: Vec<&[f32]> = last.iter().map(|last| &last[..]).collect();
        let gram = round.gram(&others)?;
        // The last aggregate stands after the updates.
        let mut point = vec![0.0; devices];
        point.extend(last.iter().map(|_| 1.0));
        for _ in 0..self.steps {
            let squares = gram.squared_distances_from(&point);
            let share = |square: &f64| (self.radius / square.sqrt()).min(1.0) / devices as f64;
            let shares: Vec<f64> = squares[..devices].iter().map(share).collect();
            let stays = 1.0 - shares.iter().sum::<f64>();
            point.iter_mut().for_each(|coefficient| *coefficient *= stays);
            point.iter_mut().zip(shares).for_each(|(coefficient, share)| *coefficient += share);
        }
        let others = last.into_iter().zip(point.get(devices).copied()).collect();
        point.truncate(devices);
        Ok(Plan::Combination(Combination { weights: point, others }))
    }

    fn remember(&self, round: &Round<'_>, aggregate: &[f32], state: &mut State) -> Result<(), RuleError> {
        state.set(LAST, update_of(round, aggregate));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, matrix};
    use crate::{Context, Executor as _, Geometry, InContext, Processors, Updates};
    use proptest::prelude::*;

    #[test]
    fn an_update_within_the_radius_counts_as_it_is_and_others_as_much_as_the_radius() {
        let rule = CenteredClipping { radius: 2.0, steps: 1 };
        assert_eq!(aggregate(&rule, &[vec![1.0, 0.0], vec![0.0, 1e30]]), [0.5, 1.0]);
        assert_eq!(aggregate(&CenteredClipping::default(), &[vec![3.0], vec![5.0]]), [4.0]);
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for rule in [
            CenteredClipping { radius: 0.0, ..CenteredClipping::default() },
            CenteredClipping { radius: f64::NAN, ..CenteredClipping::default() },
            CenteredClipping { steps: 0, ..CenteredClipping::default() },
        ] {
            assert!(matches!(rule.check(5, Byzantine::of(1)), Err(RuleError::Setting { .. })), "{rule:?}");
        }
        assert_eq!(CenteredClipping::default().check(0, Byzantine::of(0)), Err(RuleError::NoUpdates));
    }

    /// The definition, word by word, in `f64`.
    fn by_definition(rule: &CenteredClipping, rows: &[Vec<f32>], origin: &[f32], last: &[f32]) -> Vec<f64> {
        let mut v: Vec<f64> = last.iter().map(|value| f64::from(*value)).collect();
        for _ in 0..rule.steps {
            let from = v.clone();
            for row in rows {
                let toward: Vec<f64> =
                    (0..v.len()).map(|j| f64::from(row[j]) - f64::from(origin[j]) - from[j]).collect();
                let length = toward.iter().map(|value| value * value).sum::<f64>().sqrt();
                let share = (rule.radius / length).min(1.0) / rows.len() as f64;
                v.iter_mut().zip(toward).for_each(|(v, toward)| *v += share * toward);
            }
        }
        v.iter().zip(origin).map(|(v, origin)| f64::from(*origin) + v).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition_over_two_rounds(
            rows in matrix(3..9),
            radius in 1.0..100.0_f64,
            steps in 1..5_u32,
        ) {
            let rule = CenteredClipping { radius, steps };
            let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let (mut state, mut origin) = (State::default(), vec![0.5; rows[0].len()]);
            let mut last = vec![0.0; origin.len()];
            for _ in 0..2 {
                let updates = Updates::new(&slices, None).unwrap().from_origin(&origin).unwrap();
                let context = Context { state: Some(&state), ..Context::default() };
                let ruled = InContext { rule: &rule, context };
                let aggregate = Processors.aggregate(&ruled, &updates, Byzantine::of(1)).unwrap().values;
                let expected = by_definition(&rule, &rows, &origin, &last);
                for (value, expected) in aggregate.iter().zip(expected) {
                    prop_assert!((f64::from(*value) - expected).abs() <= 2e-3, "{value} {expected}");
                }
                last = aggregate.iter().zip(&origin).map(|(value, origin)| value - origin).collect();
                let geometry = Geometry::of(&updates);
                let mut after = state.clone();
                rule.remember(&Round::new(&geometry, Byzantine::of(1)), &aggregate, &mut after).unwrap();
                prop_assert_eq!(after.get(LAST), Some(&last[..]));
                drop(geometry);
                (state, origin) = (after, aggregate);
            }
        }
    }
}
