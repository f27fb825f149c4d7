//! Backdoors in coordinates that others hardly change (Neurotoxin).

use candle_core::Tensor;
use input::unfit::{Unfit, require};
use learning::data::{Dataset, Shard};
use learning::random::Stream;
use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attack, AttackError, Conditions, LabelFlip, Needs, Poison, Trigger, View};

/// Compromised devices poison only coordinates that others hardly change, so that the backdoor lasts (Neurotoxin; Zhang et
/// al. 2022).
///
/// They train on poisoned data, and send the values of the global model in the coordinates whose absolute change is among the
/// largest share, `top`. The last global change stands for that of benign devices. It is what the global model has changed
/// since the round that they attacked last; in the first, they send what they trained. The paper projects the gradient of
/// each step, which comes to the same where a device takes one step.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Neurotoxin {
    /// The share of the coordinates that are left alone, 0 to below 1.
    pub top: f64,
    /// By what the data is poisoned.
    pub poison: Poison,
    /// The trigger.
    #[serde(flatten)]
    pub trigger: Trigger,
    /// The other labels.
    #[serde(flatten)]
    pub flip: LabelFlip,
}

impl Default for Neurotoxin {
    fn default() -> Self {
        Neurotoxin {
            top: 0.05,
            poison: Poison::default(),
            trigger: Trigger::default(),
            flip: LabelFlip::default(),
        }
    }
}

/// The last global model that the attack saw.
const GLOBAL: &str = "global";

impl Attack for Neurotoxin {
    fn check(&self, conditions: &Conditions<'_>) -> Result<(), Unfit> {
        require((0.0..1.0).contains(&self.top), "attack.top", || {
            format!("{} must be at least 0 and below 1", self.top)
        })?;
        self.poison.check(&self.trigger, &self.flip, conditions)
    }

    fn needs(&self) -> Needs {
        Needs::Colluders
    }

    fn poison(&self, shard: Shard, rank: usize, random: &mut Stream) -> Shard {
        self.data().poison(shard, rank, random)
    }

    fn stamped(&self, test: &Dataset) -> Option<Dataset> {
        self.data().stamped(test)
    }

    fn craft(&self, view: &View<'_>, state: &mut State) -> Result<Option<Tensor>, AttackError> {
        let last = state.shared(GLOBAL).cloned();
        state.set(GLOBAL, view.global_values);
        let Some(last) = last else { return Ok(None) };
        let global = view.global;
        let left_alone =
            Tensor::from_vec(self.left_alone(view.global_values, &last), global.dims(), global.device())?;
        let trained = view.rows(view.colluders)?;
        let crafted = left_alone
            .broadcast_as(trained.shape())?
            .where_cond(&global.broadcast_as(trained.shape())?, &trained)?;
        Ok(Some(crafted))
    }
}

impl Neurotoxin {
    fn data(&self) -> &dyn Attack {
        self.poison.of(&self.trigger, &self.flip)
    }

    /// Ones at the coordinates of largest change, `top` d of them, rounded down, or as many as have changed; of equal ones at
    /// the lowest.
    fn left_alone(&self, global: &[f32], last: &[f32]) -> Vec<u8> {
        let change = |(now, before): (&f32, &f32)| (f64::from(*now) - f64::from(*before)).abs();
        let changes: Vec<f64> = global.iter().zip(last).map(change).collect();
        let moved = (0_u32..).zip(&changes).filter(|(_, change)| **change > 0.0);
        let mut largest: Vec<u32> = moved.map(|(coordinate, _)| coordinate).collect();
        let count = (self.top * changes.len() as f64 + 1e-9) as usize;
        if count < largest.len() {
            let first =
                |a: &u32, b: &u32| changes[*b as usize].total_cmp(&changes[*a as usize]).then(a.cmp(b));
            largest.select_nth_unstable_by(count, first);
            largest.truncate(count);
        }
        let mut left_alone = vec![0; changes.len()];
        largest.into_iter().for_each(|coordinate| left_alone[coordinate as usize] = 1);
        left_alone
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rounds, conditions, scenario};
    use super::*;

    fn rounds(top: f64) -> Rounds {
        Rounds::of(scenario(&["attack.kind=neurotoxin", &format!("attack.top={top}")]))
    }

    #[test]
    fn the_coordinates_that_changed_most_either_way_are_left_alone() {
        let mut rounds = rounds(0.5);
        let trained = [vec![10.0, 20.0, 30.0, 40.0], vec![-1.0, -2.0, -3.0, -4.0], vec![9.0; 4]];
        assert_eq!(rounds.craft(&[1.0; 4], &trained, &[0, 2]), None, "nothing is known of the first round");
        // The changes are -3, 1, 2, -0.5.
        let global = [-2.0, 2.0, 3.0, 0.5];
        let sent = rounds.craft(&global, &trained, &[0, 2]).unwrap();
        assert_eq!(sent, [[-2.0, 20.0, 3.0, 40.0], [-2.0, 9.0, 3.0, 9.0]]);
        // They are 0, 0, 0, 8 then: what has not changed may be poisoned.
        let sent = rounds.craft(&[-2.0, 2.0, 3.0, 8.5], &trained, &[0]).unwrap();
        assert_eq!(sent, [[10.0, 20.0, 30.0, 8.5]]);
    }

    #[test]
    fn it_is_a_share_of_the_coordinates_rounded_down_and_the_lowest_of_equal_ones() {
        let last = vec![0.0; 100];
        let changed: Vec<f32> = (0..100).map(|at| if at % 2 == 0 { 1.0 } else { -1.0 }).collect();
        for (top, count) in [(0.0, 0), (0.009, 0), (0.01, 1), (0.05, 5), (0.07, 7), (0.99, 99)] {
            let mask = Neurotoxin { top, ..Neurotoxin::default() }.left_alone(&changed, &last);
            assert_eq!(mask, [vec![1; count], vec![0; 100 - count]].concat());
        }
    }

    #[test]
    fn it_is_what_sorting_all_changes_gives() {
        let value = |at: usize, by: usize| ((at * by + at * at % 13) % 101) as f32 / 7.0 - 6.0;
        let global: Vec<f32> = (0..500).map(|at| value(at, 37)).collect();
        let last: Vec<f32> = (0..500).map(|at| value(at, 53)).collect();
        let mask = Neurotoxin::default().left_alone(&global, &last);
        let mut order: Vec<usize> = (0..500).collect();
        let change = |at: usize| (f64::from(global[at]) - f64::from(last[at])).abs();
        order.sort_by(|a, b| change(*b).partial_cmp(&change(*a)).unwrap());
        let mut expected = vec![0; 500];
        order[..25].iter().for_each(|at| expected[*at] = 1);
        assert_eq!(mask, expected);
    }

    #[test]
    fn a_share_that_leaves_nothing_to_poison_is_refused() {
        let check = |top| {
            Neurotoxin { top, ..Neurotoxin::default() }.check(&conditions(&[28, 28])).map_err(|(key, _)| key)
        };
        assert_eq!(check(0.0), Ok(()));
        assert_eq!(check(0.99), Ok(()));
        assert_eq!([check(1.0), check(-0.1), check(f64::NAN)], [Err("attack.top"); 3]);
    }
}
