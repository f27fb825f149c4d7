//! FLDetector: devices whose updates do not follow from their last ones are removed.

use std::collections::BTreeSet;
use std::iter::zip;

use input::unfit::{Unfit, require};
use learning::random::{Purpose, stream};
use rand::Rng as _;
use robust::{Byzantine, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clusters::{are_two_by_gaps, clusters_of_numbers};
use super::{DefenseError, Gate, Passed, Stage};

/// Sets of uniform numbers that scores are held against.
const REFERENCES: usize = 20;

/// Removes the devices whose updates are least what their last ones and the curvature of the loss predict (FLDetector; Zhang et al.
/// 2022).
///
/// An update is predicted by the device's last one and by how the model has moved since, times an estimate of the Hessian from
/// the last `window` rounds (L-BFGS). Where the errors of that, over as many rounds, fall into two clusters by the gap statistic,
/// the devices of the worse one are removed, unless they are half of all or more. The paper ends the run then; here it goes on. A
/// device that was absent is predicted by its last update.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FlDetector {
    /// Rounds that the Hessian is estimated from, and errors that are averaged (the paper's N).
    pub window: u32,
}

impl Default for FlDetector {
    fn default() -> Self {
        FlDetector { window: 10 }
    }
}

impl Stage for FlDetector {
    fn check(&self) -> Result<(), Unfit> {
        require((1..=100).contains(&self.window), "defense.window", || {
            format!("{} must be from 1 to 100", self.window)
        })
    }

    fn leaves(&self, devices: usize, _: Byzantine) -> usize {
        devices / 2 + devices.min(1)
    }

    fn pass(&self, gate: &Gate<'_>, state: &mut State) -> Result<Passed, DefenseError> {
        let mut random = stream(gate.seed, Purpose::Gaps, None, gate.round);
        let mut set = |size: usize| (0..size).map(|_| random.random_range(0.0..1.0)).collect();
        self.detect(gate, state, |size| (0..REFERENCES).map(|_| set(size)).collect())
    }
}

impl FlDetector {
    /// What passes, where `references` are sets of so many uniform numbers from 0 to 1.
    pub(super) fn detect(
        &self,
        gate: &Gate<'_>,
        state: &mut State,
        references: impl FnOnce(usize) -> Vec<Vec<f64>>,
    ) -> Result<Passed, DefenseError> {
        let window = self.window as usize;
        let zeros = vec![0.0; gate.updates.dimension()];
        let model = gate.updates.origin().unwrap_or(&zeros);
        let updates = gate.updates.updates()?;
        let moves = moves(state, model, window);
        if let [.., last] = &moves[..]
            && moves.len() > 1
        {
            let step = |pair: &[Vec<f32>]| (pair[0].clone(), difference(&pair[1], &pair[0]));
            let change = hessian_times(&moves.windows(2).map(step).collect::<Vec<_>>(), last);
            let errors = zip(gate.devices, &updates).map(|(device, update)| {
                let last = state.get(&format!("update of {device}"))?;
                let predicted = zip(last, &change).map(|(last, change)| f64::from(*last) + change);
                Some(zip(predicted, update).map(|(a, b)| (a - f64::from(*b)).powi(2)).sum::<f64>().sqrt())
            });
            let errors: Vec<Option<f64>> = errors.collect();
            let total: f64 = errors.iter().flatten().sum();
            for (device, error) in zip(gate.devices, errors) {
                let Some(error) = error else { continue };
                let name = format!("errors of {device}");
                let mut errors = state.get(&name).unwrap_or_default().to_vec();
                errors.push(if total > 0.0 { (error / total) as f32 } else { 0.0 });
                let kept = errors.split_off(errors.len().saturating_sub(window));
                state.set(name, kept);
            }
        }
        for (device, update) in zip(gate.devices, updates) {
            state.set(format!("update of {device}"), update);
        }
        Ok(Passed::AllBut(self.worse(gate, state, references)))
    }

    /// The rows whose errors are in the worse of two clusters, if there are two.
    fn worse(
        &self,
        gate: &Gate<'_>,
        state: &State,
        references: impl FnOnce(usize) -> Vec<Vec<f64>>,
    ) -> BTreeSet<usize> {
        let scores = gate.devices.iter().enumerate().filter_map(|(row, device)| {
            let errors = state.get(&format!("errors of {device}"))?;
            let sum = || errors.iter().map(|error| f64::from(*error)).sum::<f64>();
            (errors.len() == self.window as usize).then(|| (row, sum() / f64::from(self.window)))
        });
        let (rows, scores): (Vec<usize>, Vec<f64>) = scores.unzip();
        let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let range = scores.iter().copied().fold(0.0, f64::max) - least;
        if range.is_nan() || range <= 0.0 {
            return BTreeSet::new();
        }
        let scores: Vec<f64> = scores.into_iter().map(|score| (score - least) / range).collect();
        if !are_two_by_gaps(&scores, &references(scores.len())) {
            return BTreeSet::new();
        }
        let worse = clusters_of_numbers(&scores, 2).pop().unwrap_or_default();
        let worse: BTreeSet<usize> = worse.into_iter().map(|place| rows[place]).collect();
        if 2 * worse.len() < gate.devices.len() { worse } else { BTreeSet::new() }
    }
}

/// How the model has moved from round to round until it came to `model`: the last `window` + 1 moves, the oldest first. Keeps them,
/// and the model.
fn moves(state: &mut State, model: &[f32], window: usize) -> Vec<Vec<f32>> {
    let name = |number: usize| format!("move {number}");
    let mut moves: Vec<Vec<f32>> =
        (0..).map_while(|number| Some(state.get(&name(number))?.to_vec())).collect();
    moves.extend(state.get("model").map(|last| difference(model, last)));
    if moves.len() > window + 1 {
        moves.remove(0);
    }
    for (number, step) in moves.iter().enumerate() {
        state.set(name(number), &step[..]);
    }
    state.set("model", model);
    moves
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    zip(a, b).map(|(a, b)| a - b).collect()
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    zip(a, b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// What the Hessian makes of `vector`, estimated from steps of the model and of its gradient, at least one: the compact form of
/// L-BFGS (Byrd, Nocedal and Schnabel 1994). Zeros where that cannot be estimated.
fn hessian_times(steps: &[(Vec<f32>, Vec<f32>)], vector: &[f32]) -> Vec<f64> {
    let count = steps.len();
    let (model, gradient) = &steps[count - 1];
    let scale = product(gradient, model) / product(model, model);
    let matrix = nalgebra::DMatrix::from_fn(2 * count, 2 * count, |row, column| {
        let lower = |row: usize, column: usize| {
            if row > column { product(&steps[row].0, &steps[column].1) } else { 0.0 }
        };
        match (row.checked_sub(count), column.checked_sub(count)) {
            (None, None) => scale * product(&steps[row].0, &steps[column].0),
            (None, Some(column)) => lower(row, column),
            (Some(row), None) => lower(column, row),
            (Some(row), Some(column)) if row == column => -product(&steps[row].0, &steps[row].1),
            _ => 0.0,
        }
    });
    let with = nalgebra::DVector::from_fn(2 * count, |row, _| match row.checked_sub(count) {
        None => scale * product(&steps[row].0, vector),
        Some(row) => product(&steps[row].1, vector),
    });
    let Some(shares) = matrix.lu().solve(&with).filter(|shares| shares.iter().all(|share| share.is_finite()))
    else {
        return vec![0.0; vector.len()];
    };
    let mut result: Vec<f64> = vector.iter().map(|value| scale * f64::from(*value)).collect();
    for (number, (model, gradient)) in steps.iter().enumerate() {
        for (result, (model, gradient)) in zip(&mut result, zip(model, gradient)) {
            *result -=
                scale * f64::from(*model) * shares[number] + f64::from(*gradient) * shares[count + number];
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Passing, refused};
    use super::*;

    /// On a quadratic, any two steps that span the plane give the Hessian.
    #[test]
    fn the_hessian_of_a_quadratic_is_found() {
        let hessian = |v: [f32; 2]| vec![3.0 * v[0] + v[1], v[0] + 2.0 * v[1]];
        let steps = [[1.0, 0.0], [0.5, 1.0]].map(|step: [f32; 2]| (step.to_vec(), hessian(step)));
        let found = hessian_times(&steps, &[0.5, 1.0]);
        let expected = hessian([0.5, 1.0]);
        assert!(zip(&found, expected).all(|(a, b)| (a - f64::from(b)).abs() < 1e-5), "{found:?}");
        assert_eq!(hessian_times(&[(vec![0.0, 0.0], vec![0.0, 0.0])], &[1.0, 1.0]), [0.0, 0.0]);
    }

    #[test]
    fn devices_whose_updates_do_not_follow_are_removed_after_the_window() {
        let stage = FlDetector { window: 4 };
        let (mut kept, mut model) = (State::default(), vec![4.0_f32, -3.0, 2.0]);
        let mut removed = Vec::new();
        for round in 1..30_u32 {
            // Honest devices go down a quadratic each; the last two jump to and fro.
            let honest = |device: u16| -> Vec<f32> {
                model
                    .iter()
                    .enumerate()
                    .map(|(j, value)| {
                        let goal = f32::from(device % 3) * 0.1;
                        value - 0.1 * (1.0 + j as f32 * 0.5) * (value - goal)
                    })
                    .collect()
            };
            let mut models: Vec<Vec<f32>> = (0..8).map(honest).collect();
            let turn = if round % 2 == 0 { 1.0 } else { -1.0 };
            models.extend([1.0, 1.1].map(|scale| model.iter().map(|value| value + turn * scale).collect()));
            let passed = Passing::of(&models).from(&model).in_round(round).by_keeping(&stage, &mut kept);
            removed.push(passed.removed);
            let honest = &models[..8];
            model = (0..3).map(|j| honest.iter().map(|row| row[j]).sum::<f32>() / 8.0).collect();
        }
        assert!(removed[..5].iter().all(Vec::is_empty), "{removed:?}");
        assert!(removed[12..].iter().all(|removed| removed == &[8, 9]), "{removed:?}");
    }

    #[test]
    fn a_window_of_no_rounds_is_refused() {
        assert!(refused("fldetector", "window=0").contains("defense.window: "));
    }
}
