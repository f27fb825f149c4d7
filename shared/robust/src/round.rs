//! What a rule may ask of a round: distances, inner products, neighbours, who sent what, and what it has kept.

use std::iter::zip;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::kernels::products::{self, product};
use super::kernels::selection::{Neighbours, Selection};
use super::{Byzantine, Distances, Form, Gram, Rows, RuleError, State, Updates};

/// Measures updates, wherever they are: m models of d values, trained from one model, the origin.
pub trait Measure: Send + Sync {
    /// The distances between all pairs.
    ///
    /// # Errors
    /// [`RuleError::Backend`] if what measures fails, as for all of these.
    fn distances(&self) -> Result<Distances, RuleError>;

    /// The inner products of all pairs, each taken from the origin.
    ///
    /// # Errors
    /// As [`Measure::distances`].
    fn gram(&self) -> Result<Gram, RuleError>;

    /// The inner product of each with another vector of d values.
    ///
    /// # Errors
    /// As [`Measure::distances`].
    fn products_with(&self, other: &[f32]) -> Result<Vec<f64>, RuleError>;

    /// Some coordinates of each, taken from the origin.
    ///
    /// # Errors
    /// As [`Measure::distances`].
    fn sample(&self, columns: &[usize]) -> Result<Vec<Vec<f32>>, RuleError>;

    /// Each as a whole, taken from the origin: d values.
    ///
    /// # Errors
    /// As [`Measure::distances`].
    fn offsets(&self) -> Result<Vec<Vec<f32>>, RuleError>;

    /// Has `read` read all of them in a form: as they lie in this machine's memory, if they do.
    ///
    /// # Errors
    /// As [`Measure::distances`], or what `read` fails with.
    fn with_rows(
        &self,
        form: Form,
        read: &mut dyn FnMut(&Rows<'_>) -> Result<(), RuleError>,
    ) -> Result<(), RuleError> {
        let offsets = self.offsets()?;
        read(&Rows::of_offsets(&offsets, self.origin(), form))
    }

    /// The origin; `None` if updates are taken from zero.
    fn origin(&self) -> Option<&[f32]>;

    /// Number of values of each.
    fn dimension(&self) -> usize;
}

/// Updates that are in the memory of this machine, whoever keeps them there: the processors measure them.
pub trait Local: Send + Sync {
    /// What `compute` makes of them.
    ///
    /// # Errors
    /// If they are no matrix, or what `compute` fails with.
    fn updates<T>(&self, compute: impl FnOnce(&Updates<'_>) -> Result<T, RuleError>) -> Result<T, RuleError>;

    /// As [`Measure::origin`].
    fn origin(&self) -> Option<&[f32]>;

    /// As [`Measure::dimension`].
    fn dimension(&self) -> usize;
}

impl<L: Local> Measure for L {
    fn distances(&self) -> Result<Distances, RuleError> {
        self.updates(|updates| Ok(Distances::of(updates)))
    }

    fn gram(&self) -> Result<Gram, RuleError> {
        self.updates(|updates| Ok(products::gram(updates)))
    }

    fn products_with(&self, other: &[f32]) -> Result<Vec<f64>, RuleError> {
        self.updates(|updates| Ok(products::products_with(updates, other)))
    }

    fn sample(&self, columns: &[usize]) -> Result<Vec<Vec<f32>>, RuleError> {
        self.updates(|updates| {
            let origin = |column: usize| updates.origin().map_or(0.0, |origin| origin[column]);
            let sample = |row: &&[f32]| columns.iter().map(|&column| row[column] - origin(column)).collect();
            Ok(updates.rows().par_iter().map(sample).collect())
        })
    }

    fn offsets(&self) -> Result<Vec<Vec<f32>>, RuleError> {
        self.updates(|updates| {
            let offset = |row: &&[f32]| match updates.origin() {
                Some(origin) => zip(*row, origin).map(|(value, origin)| value - origin).collect(),
                None => row.to_vec(),
            };
            Ok(updates.rows().par_iter().map(offset).collect())
        })
    }

    fn with_rows(
        &self,
        form: Form,
        read: &mut dyn FnMut(&Rows<'_>) -> Result<(), RuleError>,
    ) -> Result<(), RuleError> {
        self.updates(|updates| read(&Rows::of_models(updates.rows(), updates.origin(), form)))
    }

    fn origin(&self) -> Option<&[f32]> {
        Local::origin(self)
    }

    fn dimension(&self) -> usize {
        Local::dimension(self)
    }
}

/// What has been measured of the updates of a round; what is cloned from it knows the same, and what it learns later.
#[derive(Clone, Debug, Default)]
pub struct Measured(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    distances: OnceLock<Result<Distances, RuleError>>,
    gram: OnceLock<Result<Gram, RuleError>>,
    nearest: OnceLock<Vec<Vec<(usize, f64)>>>,
    neighbours: OnceLock<Neighbours>,
}

impl Measured {
    /// What is known of some of the updates by that.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let known = Known::default();
        if let Some(Ok(gram)) = self.0.gram.get() {
            let gram = gram.select(rows);
            known.gram.get_or_init(|| Ok(gram));
        }
        Measured(Arc::new(known))
    }
}

/// What is known of the updates of a round, measured when it is first asked for, and then once for all stages, for the rule,
/// and for all rounds that leave one of them out.
pub struct Geometry<'a> {
    devices: usize,
    examples: Option<&'a [f64]>,
    measure: Box<dyn Measure + 'a>,
    measured: Measured,
}

impl<'a> Geometry<'a> {
    /// That of `updates` in this machine's memory.
    pub fn of(updates: &'a Updates<'a>) -> Self {
        Geometry::new(updates.len(), updates.weights(), Box::new(*updates))
            .knowing(updates.measured().cloned())
    }

    /// That of the updates of `devices` devices, wherever they are: with the number of examples behind each, if that is
    /// known, and what measures them.
    pub fn new(devices: usize, examples: Option<&'a [f64]>, measure: Box<dyn Measure + 'a>) -> Self {
        Geometry { devices, examples, measure, measured: Measured::default() }
    }

    /// The same, with what has been measured of these updates.
    #[must_use]
    pub fn knowing(self, measured: Option<Measured>) -> Self {
        Geometry { measured: measured.unwrap_or_default(), ..self }
    }

    /// Number of updates (the paper's m).
    pub fn devices(&self) -> usize {
        self.devices
    }

    pub(super) fn measure(&self) -> &dyn Measure {
        &*self.measure
    }

    fn distances(&self) -> Result<&Distances, RuleError> {
        self.measured.0.distances.get_or_init(|| self.measure.distances()).as_ref().map_err(Clone::clone)
    }

    fn gram(&self) -> Result<&Gram, RuleError> {
        self.measured.0.gram.get_or_init(|| self.measure.gram()).as_ref().map_err(Clone::clone)
    }

    /// Of each row all others, nearest first.
    fn nearest(&self) -> Result<&[Vec<(usize, f64)>], RuleError> {
        let distances = self.distances()?;
        Ok(self.measured.0.nearest.get_or_init(|| distances.each_nearest_first()))
    }

    /// The nearest of each row. That `count` of them make up a score at first is for speed: one known for another number serves.
    fn neighbours(&self, count: usize) -> Result<&Neighbours, RuleError> {
        let nearest = self.nearest()?;
        Ok(self.measured.0.neighbours.get_or_init(|| Neighbours::of(nearest, count)))
    }
}

/// What is known of a round beside its updates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// What the rule has kept of earlier rounds.
    pub state: Option<&'a State>,
    /// Who sent each of the updates, in ascending order.
    pub devices: &'a [u32],
    /// The seed of the run.
    pub seed: u64,
    /// The round, from 1.
    pub round: u32,
    /// What the aggregator has trained itself, on its [root examples](super::Rule::root_examples), as an update: d values.
    pub root: Option<&'a Arc<[f32]>>,
}

/// The updates that a rule is to aggregate: m rows, counted from 0 in ascending order of their devices.
pub struct Round<'a> {
    geometry: &'a Geometry<'a>,
    byzantine: Byzantine,
    /// A row of the geometry that is not among them.
    left_out: Option<usize>,
    context: Context<'a>,
}

impl<'a> Round<'a> {
    /// All updates that `geometry` is of.
    pub fn new(geometry: &'a Geometry<'a>, byzantine: Byzantine) -> Self {
        Round { geometry, byzantine, left_out: None, context: Context::default() }
    }

    pub(super) fn without(geometry: &'a Geometry<'a>, byzantine: Byzantine, left_out: usize) -> Self {
        Round { left_out: Some(left_out), ..Round::new(geometry, byzantine) }
    }

    /// The same, of which this is known beside its updates.
    #[must_use]
    pub fn in_context<'b>(&self, context: Context<'b>) -> Round<'b>
    where
        'a: 'b,
    {
        Round { context, ..*self }
    }

    /// The vector called `name` that the rule has kept of earlier rounds, if it has.
    pub fn state(&self, name: &str) -> Option<&'a [f32]> {
        self.context.state?.get(name)
    }

    /// What its updates are among.
    pub(super) fn geometry(&self) -> &'a Geometry<'a> {
        self.geometry
    }

    /// The same, to be held.
    pub fn shared_state(&self, name: &str) -> Option<Arc<[f32]>> {
        self.context.state?.shared(name).cloned()
    }

    /// What is known of the round beside its updates.
    pub(super) fn context(&self) -> &Context<'a> {
        &self.context
    }

    /// Whether nothing comes of it but a judgement: an update is left out of it, or an attacker tries the rule out.
    pub fn is_trial(&self) -> bool {
        self.left_out.is_some() || self.context.round == 0
    }

    /// Number of updates (the paper's m).
    pub fn devices(&self) -> usize {
        self.geometry.devices - usize::from(self.left_out.is_some())
    }

    /// How many of their devices are assumed to be Byzantine.
    pub fn byzantine(&self) -> Byzantine {
        self.byzantine
    }

    /// The seed of the run; 0 where nobody runs anything.
    pub fn seed(&self) -> u64 {
        self.context.seed
    }

    /// The round, from 1; 0 where nobody runs anything.
    pub fn number(&self) -> u32 {
        self.context.round
    }

    /// Who sent an update, if that is known.
    pub fn sender(&self, row: usize) -> Option<u32> {
        self.context.devices.get(self.in_geometry(row)).copied()
    }

    /// What the aggregator has trained itself, as an update of d values, if the rule wants it to.
    pub fn root(&self) -> Option<&'a Arc<[f32]>> {
        self.context.root
    }

    /// The number of examples behind each update, if that is known. A device states it itself: a robust rule does not go
    /// by it.
    pub fn examples(&self) -> Option<Vec<f64>> {
        Some(self.of_round(self.geometry.examples?.to_vec()))
    }

    /// The inner products of all pairs of updates, each taken from the model that the round started from; then those with
    /// `others`, d values each.
    ///
    /// Each is precise to a millionth of the product of both lengths. The length of a combination whose coefficients add up to 0
    /// is precise to a millionth of the distances between the updates that it is of, and that of the difference of two to a
    /// millionth of itself.
    ///
    /// # Errors
    /// As [`Round::distance`].
    pub fn gram(&self, others: &[&[f32]]) -> Result<Gram, RuleError> {
        let (gram, devices) = (self.geometry.gram()?, self.devices());
        let products = others.iter().map(|other| self.geometry.measure.products_with(other));
        let products = products.collect::<Result<Vec<_>, _>>()?;
        Ok(Gram::new(devices + others.len(), |a, b| match (a.checked_sub(devices), b.checked_sub(devices)) {
            (None, None) => gram.product(self.in_geometry(a), self.in_geometry(b)),
            (None, Some(other)) => products[other][self.in_geometry(a)],
            (Some(other), None) => products[other][self.in_geometry(b)],
            (Some(a), Some(b)) => product(others[a], others[b]),
        }))
    }

    /// Some coordinates of each update, taken from the model that the round started from.
    ///
    /// # Errors
    /// As [`Round::distance`].
    pub fn sample(&self, columns: &[usize]) -> Result<Vec<Vec<f32>>, RuleError> {
        Ok(self.of_round(self.geometry.measure.sample(columns)?))
    }

    /// The updates themselves, each taken from the model that the round started from: d values.
    ///
    /// # Errors
    /// As [`Round::distance`].
    pub fn updates(&self) -> Result<Vec<Vec<f32>>, RuleError> {
        Ok(self.of_round(self.geometry.measure.offsets()?))
    }

    /// Has `read` read the updates in a form, in which they need not lie anywhere as a whole. It must not wait for other threads
    /// of rayon's.
    ///
    /// # Errors
    /// As [`Round::distance`], or what `read` fails with.
    pub fn with_rows<T>(
        &self,
        form: Form,
        read: impl FnOnce(&Rows<'_>) -> Result<T, RuleError>,
    ) -> Result<T, RuleError> {
        let (mut read, mut result) = (Some(read), Err(RuleError::NoUpdates));
        self.geometry.measure.with_rows(form, &mut |rows| {
            if let Some(read) = read.take() {
                result = Ok(read(&rows.without(self.left_out))?);
            }
            Ok(())
        })?;
        result
    }

    /// What there is for each row of the geometry, without that of a row that is left out.
    fn of_round<T>(&self, mut all: Vec<T>) -> Vec<T> {
        self.left_out.map(|left_out| all.remove(left_out));
        all
    }

    /// The model that the round started from, d values; `None` if updates are taken from zero.
    pub fn origin(&self) -> Option<&'a [f32]> {
        self.geometry.measure.origin()
    }

    /// Number of values of an update (the paper's d).
    pub fn dimension(&self) -> usize {
        self.geometry.measure.dimension()
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
            Some(left_out) => {
                Ok(sum_without(left_out, &self.geometry.nearest()?[row], count, |distance| distance))
            }
        }
    }

    /// [`Round::sum_to_nearest`] of each update.
    ///
    /// # Errors
    /// As [`Round::distance`].
    pub fn sums_to_nearest(&self, count: usize) -> Result<Vec<f64>, RuleError> {
        self.sums_of_nearest(count, |distance| distance)
    }

    /// The same of the squares of the distances.
    ///
    /// # Errors
    /// As [`Round::distance`].
    pub fn squares_to_nearest(&self, count: usize) -> Result<Vec<f64>, RuleError> {
        self.sums_of_nearest(count, |distance| distance * distance)
    }

    fn sums_of_nearest(&self, count: usize, of: impl Fn(f64) -> f64 + Sync) -> Result<Vec<f64>, RuleError> {
        let Some(left_out) = self.left_out else {
            let distances = self.geometry.distances()?;
            let rows = (0..self.devices()).into_par_iter();
            return Ok(rows.map(|row| distances.sum_of_nearest(row, count, &of)).collect());
        };
        // One after the other: other threads are at the rounds without other updates.
        let (before, after) = self.geometry.nearest()?.split_at(left_out);
        Ok(before.iter().chain(&after[1..]).map(|others| sum_without(left_out, others, count, &of)).collect())
    }

    /// All updates, to take out one after the other by their distances to those that are left; `count` is how many of the
    /// nearest make up a score at first.
    ///
    /// # Errors
    /// As [`Round::distance`].
    pub fn selection(&self, count: usize) -> Result<Selection<'a>, RuleError> {
        let (distances, nearest) = (self.geometry.distances()?, self.geometry.nearest()?);
        Ok(Selection::new(distances, nearest, self.geometry.neighbours(count)?, self.left_out))
    }

    fn in_geometry(&self, row: usize) -> usize {
        row + usize::from(self.left_out.is_some_and(|left_out| row >= left_out))
    }
}

/// Sum of what `of` makes of the first `count` distances but that of `left_out`.
fn sum_without(left_out: usize, others: &[(usize, f64)], count: usize, of: impl Fn(f64) -> f64) -> f64 {
    let others = others.iter().filter(|(other, _)| *other != left_out);
    others.take(count).map(|(_, distance)| of(*distance)).sum()
}
