//! Updates that stand out by what their models make of examples.

use std::collections::BTreeSet;

use input::unfit::{Unfit, at_least_one, require};
use robust::{Byzantine, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dnc::farthest;
use super::{DefenseError, Gate, Passed, Stage};

/// Removes the updates whose models' representations of the validation examples lie farthest along the main axis of all
/// (spectral signatures; after Tran et al. 2018).
///
/// A representation is what the last layer of a model takes; of logistic regression, which has no other layer, it is the
/// logits. The score of an update is the square of the projection of its representations, less the mean over all updates, on
/// the first right singular vector of the matrix of these differences. What the representations are compared with in the
/// first place, such as those of a model of the aggregator's own, has no influence: the mean takes it away.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Spectral {
    /// Test examples, drawn once for the run, that are represented.
    pub validation_examples: u32,
    /// How many times as many updates as `byzantine` are removed, rounded down.
    pub filter: f64,
}

impl Default for Spectral {
    fn default() -> Self {
        Spectral { validation_examples: 100, filter: 1.5 }
    }
}

impl Spectral {
    fn removes(&self, devices: usize, byzantine: Byzantine) -> usize {
        ((self.filter * byzantine.left() as f64) as usize).min(devices.saturating_sub(1))
    }
}

impl Stage for Spectral {
    fn check(&self) -> Result<(), Unfit> {
        at_least_one("defense.validation-examples", self.validation_examples)?;
        require(self.filter >= 0.0 && self.filter.is_finite(), "defense.filter", || {
            format!("{} must be a number that is not negative", self.filter)
        })
    }

    fn validation_examples(&self) -> usize {
        self.validation_examples as usize
    }

    fn leaves(&self, devices: usize, byzantine: Byzantine) -> usize {
        devices - self.removes(devices, byzantine)
    }

    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let count = self.removes(gate.devices.len(), gate.updates.byzantine());
        if count == 0 {
            return Ok(Passed::AllBut(BTreeSet::new()));
        }
        Ok(Passed::AllBut(standing_out((gate.represent)()?, count)?))
    }
}

/// The `count` rows of the largest scores; those that are not finite come first.
fn standing_out(mut rows: Vec<Vec<f32>>, count: usize) -> Result<BTreeSet<usize>, DefenseError> {
    let is_finite = |row: &[f32]| row.iter().all(|value| value.is_finite());
    let (finite, broken): (Vec<_>, Vec<_>) = (0..rows.len()).partition(|row| is_finite(&rows[*row]));
    let mut removed: BTreeSet<usize> = broken.iter().copied().take(count).collect();
    if removed.len() == count {
        return Ok(removed);
    }
    for row in broken.into_iter().rev() {
        rows.remove(row);
    }
    // Their inner products must be finite, too; a factor changes nothing of the order.
    let largest = rows.iter().flatten().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if largest > 1.0 {
        rows.iter_mut().flatten().for_each(|value| *value /= largest);
    }
    removed.extend(farthest(&rows, count - removed.len())?.into_iter().map(|row| finite[row]));
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Passing, refused};
    use super::*;

    /// Eight representations about one point, and two that are off in the same direction.
    fn rows() -> Vec<Vec<f32>> {
        let near =
            |row: u8| (0..6_u8).map(|j| 3.0 + f32::from((row * 7 + j * 5) % 11) / 11.0).collect::<Vec<f32>>();
        let mut rows: Vec<_> = (0..10).map(near).collect();
        for row in [3, 6] {
            rows[row].iter_mut().take(3).for_each(|value| *value -= 4.0);
        }
        rows
    }

    #[test]
    fn those_that_stand_out_along_the_main_axis_are_removed_whatever_all_are_compared_with() {
        let root = [9.0, -2.0, 0.5, 0.0, 7.0, 1.0];
        let from_root = |row: Vec<f32>| row.iter().zip(root).map(|(value, root)| value - root).collect();
        for rows in [rows(), rows().into_iter().map(from_root).collect()] {
            assert_eq!(standing_out(rows, 2).unwrap(), [3, 6].into());
        }
    }

    /// The definition, by power iteration on the examples' side in place of the Gram matrix.
    #[test]
    fn the_score_is_the_squared_projection_of_the_centred_rows_on_their_first_singular_vector() {
        let rows: Vec<Vec<f64>> =
            rows().iter().map(|row| row.iter().copied().map(f64::from).collect()).collect();
        let mean = |j: usize| rows.iter().map(|row| row[j]).sum::<f64>() / rows.len() as f64;
        let centred: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| row.iter().enumerate().map(|(j, value)| value - mean(j)).collect())
            .collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut axis = vec![1.0, 0.3, 0.7, -0.2, 0.1, 0.4];
        for _ in 0..500 {
            let along: Vec<f64> = centred.iter().map(|row| dot(row, &axis)).collect();
            axis =
                (0..6).map(|j| centred.iter().zip(&along).map(|(row, along)| row[j] * along).sum()).collect();
            let length = dot(&axis, &axis).sqrt();
            axis.iter_mut().for_each(|value| *value /= length);
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|a, b| dot(&centred[*b], &axis).powi(2).total_cmp(&dot(&centred[*a], &axis).powi(2)));
        for count in 1..rows.len() {
            let expected: BTreeSet<usize> = order[..count].iter().copied().collect();
            let rows = rows.iter().map(|row| row.iter().map(|value| *value as f32).collect()).collect();
            assert_eq!(standing_out(rows, count).unwrap(), expected, "{count}");
        }
    }

    #[test]
    fn what_is_not_finite_goes_first_and_what_is_huge_overflows_nothing() {
        let mut broken = rows();
        broken[8][2] = f32::NAN;
        broken[1][0] = f32::INFINITY;
        assert_eq!(standing_out(broken.clone(), 4).unwrap(), [1, 3, 6, 8].into());
        assert_eq!(standing_out(broken, 1).unwrap(), [1].into());
        let mut huge = rows();
        huge[5].fill(-3e38);
        assert_eq!(standing_out(huge, 1).unwrap(), [5].into());
    }

    #[test]
    fn half_as_many_again_as_are_assumed_are_removed_but_never_all() {
        let leaves = |devices, byzantine| Spectral::default().leaves(devices, Byzantine::of(byzantine));
        assert_eq!(
            [leaves(10, 0), leaves(10, 1), leaves(10, 2), leaves(10, 3), leaves(3, 5)],
            [10, 9, 7, 6, 1]
        );
        // Nothing is asked for where nothing is to be removed.
        assert!(Passing::of(&[[1.0], [2.0]]).by(&Spectral::default()).removed.is_empty());
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for (setting, key) in [("validation-examples=0", "validation-examples"), ("filter=-0.5", "filter")] {
            let refused = refused("spectral", setting);
            assert!(refused.contains(&format!("defense.{key}: ")), "{refused}");
        }
    }
}
