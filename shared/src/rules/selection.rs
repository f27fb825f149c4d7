//! Krum again and again, each time among those that it has not chosen yet.

use super::distances::order;
use super::krum::least;
use super::{Distances, RuleError};

/// Relative error of one addition of two `f64`.
const ROUNDING: f64 = f64::EPSILON;

/// The rows that are left to choose from.
///
/// What a row scores is the sum of its distances to so many nearest others, in ascending order. Such a sum is not taken
/// anew for every choice: it is known with a bound of its error from what left it and what came to it, and taken anew only
/// for those rows that may have the least.
pub(super) struct Selection<'a> {
    /// For each row all others with their distances, nearest first.
    nearest: &'a [Vec<(usize, f64)>],
    distances: &'a Distances,
    left: Vec<bool>,
    scores: Vec<Score>,
}

/// What is known of the score of a row.
#[derive(Clone, Default)]
struct Score {
    /// Of the row's others those before this place count, if they are left.
    reach: usize,
    /// How many of them are.
    count: usize,
    /// Sum of their distances, and how far it may be from the one in ascending order.
    sum: f64,
    error: f64,
}

impl<'a> Selection<'a> {
    /// All rows but `left_out`; `nearest` are [`Distances::each_nearest_first`].
    pub(super) fn new(
        nearest: &'a [Vec<(usize, f64)>],
        distances: &'a Distances,
        left_out: Option<usize>,
    ) -> Self {
        let devices = distances.devices();
        let left = (0..devices).map(|row| Some(row) != left_out).collect();
        Selection { nearest, distances, left, scores: vec![Score::default(); devices] }
    }

    /// Takes out the row whose `count` nearest others left are least far away in sum; the first of equals.
    ///
    /// # Errors
    /// [`RuleError::NoUpdates`] if none is left.
    pub(super) fn take_least(&mut self, count: usize) -> Result<usize, RuleError> {
        let mut most = f64::INFINITY;
        for row in 0..self.left.len() {
            if self.left[row] {
                self.reach(row, count);
                most = most.min(self.scores[row].sum + self.scores[row].error);
            }
        }
        // What is not a number is not above anything, and is looked at.
        let above = |score: &Score| score.sum - score.error > most;
        let rows = (0..self.left.len()).filter(|&row| self.left[row] && !above(&self.scores[row]));
        let contenders: Vec<usize> = rows.collect();
        let winner = least(contenders.into_iter().map(|row| (row, self.sum_up(row, count))))?;
        self.take(winner);
        Ok(winner)
    }

    /// Lets so many others of a row count, or all if there are fewer.
    fn reach(&mut self, row: usize, count: usize) {
        let (others, score) = (&self.nearest[row], &mut self.scores[row]);
        while score.count < count && score.reach < others.len() {
            let (other, distance) = others[score.reach];
            if self.left[other] {
                score.add(distance);
                score.count += 1;
            }
            score.reach += 1;
        }
        while score.count > count {
            score.reach -= 1;
            let (other, distance) = others[score.reach];
            if self.left[other] {
                score.add(-distance);
                score.count -= 1;
            }
        }
    }

    /// The score of a row, in ascending order.
    fn sum_up(&mut self, row: usize, count: usize) -> f64 {
        let others = self.nearest[row].iter().filter(|(other, _)| self.left[*other]);
        let sum: f64 = others.take(count).map(|(_, distance)| distance).sum();
        let score = &mut self.scores[row];
        (score.sum, score.error) = (sum, count as f64 * ROUNDING * sum);
        sum
    }

    /// The row is not left any more.
    fn take(&mut self, row: usize) {
        self.left[row] = false;
        for (other, score) in self.scores.iter_mut().enumerate() {
            let distance = self.distances.between(other, row);
            let beyond = self.nearest[other].get(score.reach);
            let is_nearer =
                |&(beyond, farther): &(usize, f64)| (order(distance), row) < (order(farther), beyond);
            if self.left[other] && beyond.is_none_or(is_nearer) {
                score.add(-distance);
                score.count -= 1;
            }
        }
    }
}

impl Score {
    /// Adds to the sum. The error grows by that of this addition and of the one that it stands for.
    fn add(&mut self, distance: f64) {
        self.error += 2.0 * ROUNDING * (self.sum.abs() + distance.abs());
        self.sum += distance;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::properties::{column, distances};
    use super::*;

    /// The definition: all sums taken anew.
    fn by_definition(distances: &Distances, left_out: Option<usize>, counts: &[usize]) -> Vec<usize> {
        let mut left: Vec<usize> = (0..distances.devices()).filter(|row| Some(*row) != left_out).collect();
        let mut taken = Vec::new();
        for &count in counts.iter().take(left.len()) {
            let score = |row: usize| -> f64 {
                let others =
                    distances.nearest_first(row).into_iter().filter(|(other, _)| left.contains(other));
                others.take(count).map(|(_, distance)| distance).sum()
            };
            let winner = least(left.iter().map(|&row| (row, score(row)))).unwrap();
            left.retain(|row| *row != winner);
            taken.push(winner);
        }
        taken
    }

    proptest! {
        #[test]
        fn the_choices_are_those_of_sums_taken_anew(
            // Some equal, some next to each other, some so far that the others vanish in a sum with them.
            values in vec(prop_oneof![-3..3_i8, -100..100_i8, 120..=127_i8].prop_map(|value| match value {
                120.. => 1e30 * f32::from(value),
                value => 1e-3 * f32::from(value),
            }), 2..30),
            left_out in prop::option::of(0..30_usize),
            counts in vec(1..30_usize, 30),
            one_less_each in any::<bool>(),
        ) {
            let distances = distances(&column(&values));
            let left_out = left_out.filter(|row| *row < values.len());
            let counts = if one_less_each { (1..values.len()).rev().collect() } else { counts };
            let expected = by_definition(&distances, left_out, &counts);
            let nearest = distances.each_nearest_first();
            let mut left = Selection::new(&nearest, &distances, left_out);
            let taken: Vec<usize> =
                counts[..expected.len()].iter().map(|&count| left.take_least(count).unwrap()).collect();
            prop_assert_eq!(taken, expected);
        }
    }

    #[test]
    fn once_all_are_taken_there_is_nothing_to_choose() {
        let distances = distances(&column(&[1.0, 2.0]));
        let nearest = distances.each_nearest_first();
        let mut left = Selection::new(&nearest, &distances, Some(1));
        assert_eq!(left.take_least(1), Ok(0));
        assert_eq!(left.take_least(1), Err(RuleError::NoUpdates));
    }
}
