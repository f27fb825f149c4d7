//! Divide and conquer: updates that stand out along the main axis of all are removed.

use std::collections::BTreeSet;

use input::unfit::{Unfit, at_least_one, require};
use learning::random::{Purpose, stream};
use rand::seq::index::sample;
use robust::{Byzantine, Geometry, Round, State, Updates, largest_eigenpair};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DefenseError, Gate, Passed, Stage};

/// Removes the updates that lie farthest along the main axis of all, as some coordinates show it (DnC; Shejwalkar and Houmansadr
/// 2021).
///
/// Several times, coordinates are drawn and `filter` times c updates are marked; those that are never marked are kept, or
/// if there is none, those that the last time has not marked. Of updates equally far, the later ones go first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DivideAndConquer {
    /// How many coordinates are drawn; all, where there are not so many (the paper's b).
    pub coordinates: u32,
    /// How many times.
    pub iterations: u32,
    /// How many times as many updates as `byzantine` are marked each time, rounded down (the paper's c).
    pub filter: f64,
}

impl Default for DivideAndConquer {
    fn default() -> Self {
        DivideAndConquer { coordinates: 10_000, iterations: 5, filter: 1.0 }
    }
}

impl DivideAndConquer {
    fn marks(&self, devices: usize, byzantine: Byzantine) -> usize {
        ((self.filter * byzantine.left() as f64) as usize).min(devices.saturating_sub(1))
    }
}

impl Stage for DivideAndConquer {
    fn check(&self) -> Result<(), Unfit> {
        at_least_one("defense.coordinates", self.coordinates)?;
        at_least_one("defense.iterations", self.iterations)?;
        require(self.filter >= 0.0 && self.filter.is_finite(), "defense.filter", || {
            format!("{} must be a number that is not negative", self.filter)
        })
    }

    fn leaves(&self, devices: usize, byzantine: Byzantine) -> usize {
        let marks = self.marks(devices, byzantine);
        let least = devices.saturating_sub(marks.saturating_mul(self.iterations as usize));
        if marks == 0 { devices } else { least.max(1).min(devices) }
    }

    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let dimension = gate.updates.dimension();
        let mut random = stream(gate.seed, Purpose::Coordinates, None, gate.round);
        let count = (self.coordinates as usize).min(dimension);
        // All coordinates are the same each time.
        let iterations = if count == dimension { 1 } else { self.iterations };
        let mut draw = || sample(&mut random, dimension, count).into_vec();
        self.by_columns(gate, (0..iterations).map(|_| draw()))
    }
}

impl DivideAndConquer {
    /// What passes, where these coordinates are looked at, one list after the other.
    pub(super) fn by_columns(
        &self,
        gate: &Gate<'_>,
        lists: impl Iterator<Item = Vec<usize>>,
    ) -> Result<Passed, DefenseError> {
        let devices = gate.devices.len();
        let marks = self.marks(devices, gate.updates.byzantine());
        let (mut ever, mut last) = (BTreeSet::new(), BTreeSet::new());
        for columns in lists {
            last = farthest(&gate.updates.sample(&columns)?, marks)?;
            ever.extend(&last);
        }
        Ok(Passed::AllBut(if ever.len() < devices { ever } else { last }))
    }
}

/// The `count` rows that are farthest from the mean along the axis on which all vary most.
pub(super) fn farthest(rows: &[Vec<f32>], count: usize) -> Result<BTreeSet<usize>, DefenseError> {
    let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&slices, None)?;
    let geometry = Geometry::of(&updates);
    let share = 1.0 / rows.len() as f64;
    let gram = Round::new(&geometry, Byzantine::default()).gram(&[])?.centred(&vec![share; rows.len()]);
    let (_, axis) = largest_eigenpair(&gram);
    let along = gram.products_with(&axis);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| along[*b].abs().total_cmp(&along[*a].abs()).then(b.cmp(a)));
    Ok(order.into_iter().take(count).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Passing, refused};
    use super::*;

    #[test]
    fn those_that_stand_out_along_the_main_axis_are_removed() {
        let mut models: Vec<Vec<f32>> =
            (0..10).map(|row| (0..8).map(|j| ((row * 7 + j * 3) % 5) as f32).collect()).collect();
        models.extend([vec![60.0; 8], vec![60.0; 8]]);
        let passed = Passing::of(&models).assuming(2).by(&DivideAndConquer::default());
        assert_eq!(passed.removed, [10, 11]);
        let none = DivideAndConquer { filter: 0.0, ..DivideAndConquer::default() };
        assert!(Passing::of(&models).assuming(2).by(&none).removed.is_empty());
    }

    #[test]
    fn where_each_is_marked_once_the_last_marks_count() {
        let models: Vec<Vec<f32>> =
            (0..3).map(|row| (0..3).map(|j| if row == j { 9.0 } else { 0.0 }).collect()).collect();
        let stage = DivideAndConquer { coordinates: 1, iterations: 40, filter: 1.0 };
        let passed = Passing::of(&models).assuming(1).by(&stage);
        assert_eq!(passed.removed.len(), 1);
        assert_eq!(stage.leaves(3, Byzantine::of(1)), 1);
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for (setting, key) in
            [("coordinates=0", "coordinates"), ("iterations=0", "iterations"), ("filter=-1.0", "filter")]
        {
            let refused = refused("dnc", setting);
            assert!(refused.contains(&format!("defense.{key}: ")), "{refused}");
        }
    }
}
