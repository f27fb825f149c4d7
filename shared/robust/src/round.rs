//! What a rule may ask of a round: distances, neighbours, and what it has kept.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::kernels::selection::{Neighbours, Selection};
use super::{Byzantine, Distances, RuleError, State, Updates};

/// What is known of the updates of a round, measured when it is first asked for, and then once for all rules and for all
/// rounds that leave one of them out.
pub struct Geometry<'a> {
    devices: usize,
    examples: Option<&'a [f64]>,
    measure: Box<dyn Fn() -> Result<Distances, RuleError> + Send + Sync + 'a>,
    distances: OnceLock<Result<Distances, RuleError>>,
    nearest: OnceLock<Vec<Vec<(usize, f64)>>>,
    neighbours: OnceLock<Neighbours>,
}

impl<'a> Geometry<'a> {
    /// That of `updates` in this machine's memory.
    pub fn of(updates: &'a Updates<'a>) -> Self {
        Geometry::new(updates.len(), updates.weights(), || Ok(Distances::of(updates)))
    }

    /// That of the updates of `devices` devices, wherever they are: with the number of examples behind each, if that is
    /// known, and what measures the distances between them.
    pub fn new(
        devices: usize,
        examples: Option<&'a [f64]>,
        measure: impl Fn() -> Result<Distances, RuleError> + Send + Sync + 'a,
    ) -> Self {
        Geometry {
            devices,
            examples,
            measure: Box::new(measure),
            distances: OnceLock::new(),
            nearest: OnceLock::new(),
            neighbours: OnceLock::new(),
        }
    }

    /// Number of updates (the paper's m).
    pub fn devices(&self) -> usize {
        self.devices
    }

    fn distances(&self) -> Result<&Distances, RuleError> {
        self.distances.get_or_init(|| (self.measure)()).as_ref().map_err(Clone::clone)
    }

    /// Of each row all others, nearest first.
    fn nearest(&self) -> Result<&[Vec<(usize, f64)>], RuleError> {
        let distances = self.distances()?;
        Ok(self.nearest.get_or_init(|| distances.each_nearest_first()))
    }
}

/// The updates that a rule is to aggregate: m rows, counted from 0 in ascending order of their devices.
pub struct Round<'a> {
    geometry: &'a Geometry<'a>,
    byzantine: Byzantine,
    /// A row of the geometry that is not among them.
    left_out: Option<usize>,
    /// What the rule has kept of earlier rounds.
    state: Option<&'a State>,
}

impl<'a> Round<'a> {
    /// All updates that `geometry` is of.
    pub fn new(geometry: &'a Geometry<'a>, byzantine: Byzantine) -> Self {
        Round { geometry, byzantine, left_out: None, state: None }
    }

    pub(super) fn without(geometry: &'a Geometry<'a>, byzantine: Byzantine, left_out: usize) -> Self {
        Round { geometry, byzantine, left_out: Some(left_out), state: None }
    }

    /// The same, for a rule that has kept `state` of earlier rounds.
    pub(super) fn remembering<'b>(&self, state: &'b State) -> Round<'b>
    where
        'a: 'b,
    {
        Round { state: Some(state), ..*self }
    }

    /// The vector called `name` that the rule has kept of earlier rounds, if it has.
    pub fn state(&self, name: &str) -> Option<&[f32]> {
        self.state?.get(name)
    }

    /// Number of updates (the paper's m).
    pub fn devices(&self) -> usize {
        self.geometry.devices - usize::from(self.left_out.is_some())
    }

    /// How many of their devices are assumed to be Byzantine.
    pub fn byzantine(&self) -> Byzantine {
        self.byzantine
    }

    /// The number of examples behind each update, if that is known. A device states it itself: a robust rule does not go
    /// by it.
    pub fn examples(&self) -> Option<Vec<f64>> {
        let mut examples = self.geometry.examples?.to_vec();
        if let Some(left_out) = self.left_out {
            examples.remove(left_out);
        }
        Some(examples)
    }

    /// Euclidean distance between two of the updates, to a millionth of itself.
    ///
    /// # Errors
    /// [`RuleError::Backend`] if what measures it fails.
    pub fn distance(&self, a: usize, b: usize) -> Result<f64, RuleError> {
        Ok(self.geometry.distances()?.from(self.in_geometry(a))[self.in_geometry(b)])
    }

    /// Sum of the distances from update `row` to its `count` nearest others, or to all if there are fewer.
    ///
    /// # Errors
    /// As [`Round::distance`].
    pub fn sum_to_nearest(&self, row: usize, count: usize) -> Result<f64, RuleError> {
        let row = self.in_geometry(row);
        match self.left_out {
            None => Ok(self.geometry.distances()?.sum_to_nearest(row, count)),
            Some(left_out) => Ok(sum_without(left_out, &self.geometry.nearest()?[row], count)),
        }
    }

    /// [`Round::sum_to_nearest`] of each update.
    ///
    /// # Errors
    /// As [`Round::distance`].
    pub fn sums_to_nearest(&self, count: usize) -> Result<Vec<f64>, RuleError> {
        let Some(left_out) = self.left_out else {
            let distances = self.geometry.distances()?;
            let rows = (0..self.devices()).into_par_iter();
            return Ok(rows.map(|row| distances.sum_to_nearest(row, count)).collect());
        };
        // One after the other: other threads are at the rounds without other updates.
        let (before, after) = self.geometry.nearest()?.split_at(left_out);
        Ok(before.iter().chain(&after[1..]).map(|others| sum_without(left_out, others, count)).collect())
    }

    /// All updates, to take out one after the other by their distances to those that are left; `count` is how many of the
    /// nearest make up a score at first.
    ///
    /// # Errors
    /// As [`Round::distance`].
    pub fn selection(&self, count: usize) -> Result<Selection<'a>, RuleError> {
        let (distances, nearest) = (self.geometry.distances()?, self.geometry.nearest()?);
        let neighbours = self.geometry.neighbours.get_or_init(|| Neighbours::of(nearest, count));
        Ok(Selection::new(distances, nearest, neighbours, self.left_out))
    }

    fn in_geometry(&self, row: usize) -> usize {
        row + usize::from(self.left_out.is_some_and(|left_out| row >= left_out))
    }
}

/// Sum of the first `count` distances but that of `left_out`.
fn sum_without(left_out: usize, others: &[(usize, f64)], count: usize) -> f64 {
    others.iter().filter(|(other, _)| *other != left_out).take(count).map(|(_, distance)| distance).sum()
}
