//! Krum's scores of rows while other rows are removed: running sums, each with a bound of its error.

use simd::{Kernel, padded, vectorized};

/// Relative error of one addition of two `f64`.
const ROUNDING: f64 = f64::EPSILON;

/// Sums that are compared side by side.
const LANES: usize = 8;

/// What is known of the scores of all rows, side by side.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    /// Whether a row is left.
    left: Vec<bool>,
    /// Sums of distances; infinity for a row that has left.
    sums: Vec<f64>,
    /// How far each may be from the sum in ascending order.
    errors: Vec<f64>,
    /// Of a row's others those before this place count, if they are left.
    reaches: Vec<u32>,
    /// How many of them are.
    counts: Vec<u32>,
    /// A distance that none of them exceeds.
    farthest: Vec<f64>,
    /// Memory for what each may be at most, and for whether it may be the least: 1 or 0.
    bounds: Vec<f64>,
    flags: Vec<u8>,
}

impl Scores {
    /// Those of rows with such others, nearest first, of which `count` count, or all if there are fewer.
    pub(crate) fn of(nearest: &[Vec<(usize, f64)>], count: usize) -> Self {
        let rows = nearest.len();
        let counted = || nearest.iter().map(|others| &others[..count.min(others.len())]);
        let sums = counted().map(|others| others.iter().map(|(_, distance)| distance).sum());
        let sums: Vec<f64> = sums.collect();
        let counts: Vec<u32> = counted().map(|others| others.len() as u32).collect();
        Scores {
            left: vec![true; rows],
            errors: sums.iter().map(|sum| error_of(*sum, count)).collect(),
            sums,
            reaches: counts.clone(),
            counts,
            farthest: counted().map(|others| others.last().map_or(0.0, |(_, distance)| *distance)).collect(),
            bounds: vec![0.0; rows],
            flags: vec![0; rows],
        }
    }

    /// The rows left that may have the least score, of `count` others each, in ascending order.
    pub(crate) fn find_least(&mut self, count: usize, rows: &mut Vec<usize>) {
        vectorized(Least { scores: self, count: count as u32 });
        rows.clear();
        let (words, rest) = self.flags.as_chunks();
        let words = words.iter().copied().chain([padded(rest)]).map(u64::from_le_bytes);
        for (first, mut word) in (0..).step_by(size_of::<u64>()).zip(words) {
            while word != 0 {
                rows.push(first + word.trailing_zeros() as usize / 8);
                word &= word - 1;
            }
        }
    }

    /// Lets so many others that are left count, or all if there are fewer.
    pub(crate) fn reach(&mut self, row: usize, others: &[(usize, f64)], count: usize) {
        let [mut reach, mut counted] = [self.reaches[row], self.counts[row]].map(|places| places as usize);
        while counted < count && reach < others.len() {
            let (other, distance) = others[reach];
            if self.left[other] {
                self.add(row, distance);
                counted += 1;
            }
            reach += 1;
        }
        while counted > count {
            reach -= 1;
            let (other, distance) = others[reach];
            if self.left[other] {
                self.add(row, -distance);
                counted -= 1;
            }
        }
        [self.reaches[row], self.counts[row]] = [reach, counted].map(|places| places as u32);
        self.farthest[row] = reach.checked_sub(1).map_or(0.0, |last| others[last].1);
    }

    fn add(&mut self, row: usize, distance: f64) {
        (self.sums[row], self.errors[row]) = plus(self.sums[row], self.errors[row], distance);
    }

    /// What the score of a row is at most, once so many others count.
    pub(crate) fn at_most(&self, row: usize) -> f64 {
        self.sums[row] + self.errors[row]
    }

    /// Whether it may be so little. What is not a number is not above anything.
    pub(crate) fn may_be(&self, row: usize, most: f64) -> bool {
        let is_above = self.sums[row] - self.errors[row] > most;
        !is_above
    }

    /// The score of a row, of which so many others count: its sum in ascending order.
    pub(crate) fn sum_up(&mut self, row: usize, others: &[(usize, f64)], count: usize) -> f64 {
        let others = others.iter().filter(|(other, _)| self.left[*other]);
        let sum: f64 = others.take(count).map(|(_, distance)| distance).sum();
        (self.sums[row], self.errors[row]) = (sum, error_of(sum, count));
        sum
    }

    /// A row leaves, whose distances from all rows are these, and its places among their others.
    pub(crate) fn leave(&mut self, row: usize, distances: &[f64], places: &[u32]) {
        self.left[row] = false;
        (self.sums[row], self.errors[row]) = (f64::INFINITY, 0.0);
        (self.reaches[row], self.counts[row]) = (0, 0);
        vectorized(Leaving { scores: self, distances, places });
    }
}

/// How far a sum of so many distances may be from the true one.
fn error_of(sum: f64, count: usize) -> f64 {
    count as f64 * ROUNDING * sum
}

/// A sum and its error with a distance more. The error grows by that of this addition and of the one that it stands for.
#[inline(always)]
fn plus(sum: f64, error: f64, distance: f64) -> (f64, f64) {
    (sum + distance, error + 2.0 * ROUNDING * (sum.abs() + distance.abs()))
}

/// See [`Scores::find_least`].
struct Least<'a> {
    scores: &'a mut Scores,
    count: u32,
}

impl Kernel for Least<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Scores { left, sums, errors, counts, farthest, bounds, flags, .. } = self.scores;
        let known = sums.iter().zip(&*errors).zip(&*counts);
        for (bound, ((sum, error), count)) in bounds.iter_mut().zip(known) {
            let is_known = *count == self.count;
            let at_most = *sum + *error;
            *bound = if is_known { at_most } else { f64::INFINITY };
        }
        let most = least_of(bounds);
        let known = sums.iter().zip(errors).zip(counts.iter().zip(farthest));
        for (((sum, error), (count, farthest)), (flag, is_left)) in known.zip(flags.iter_mut().zip(left)) {
            // Where more others count so far, so many of the farthest are too many. The error has room for what these
            // operations lose.
            let too_many = f64::from(count.saturating_sub(self.count));
            let is_above = *sum - too_many * *farthest - *error > most;
            *flag = u8::from(*is_left) & u8::from(!is_above);
        }
    }
}

/// The least of some values, without those that are no numbers.
#[inline(always)]
fn least_of(values: &[f64]) -> f64 {
    // As `f64::min`, which takes several instructions where this takes one.
    let least = |a: f64, b: f64| if b < a { b } else { a };
    let (vectors, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f64::INFINITY; LANES];
    for values in vectors {
        for lane in 0..LANES {
            lanes[lane] = least(lanes[lane], values[lane]);
        }
    }
    lanes.iter().chain(rest).fold(f64::INFINITY, |a, b| least(a, *b))
}

/// See [`Scores::leave`].
struct Leaving<'a> {
    scores: &'a mut Scores,
    distances: &'a [f64],
    places: &'a [u32],
}

impl Kernel for Leaving<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Scores { sums, errors, reaches, counts, .. } = self.scores;
        let leaving = self.distances.iter().zip(self.places);
        let scores = sums.iter_mut().zip(errors).zip(reaches.iter().zip(counts));
        for (((sum, error), (reach, count)), (distance, place)) in scores.zip(leaving) {
            let is_counted = place < reach;
            let (less, error_of_less) = plus(*sum, *error, -distance);
            *sum = if is_counted { less } else { *sum };
            *error = if is_counted { error_of_less } else { *error };
            *count -= u32::from(is_counted);
        }
    }
}
