//! Krum again and again, each time among those that it has not chosen yet.

use rayon::prelude::*;

use super::distances::order;
use super::krum::least;
use super::{Distances, RuleError};

/// Relative error of one addition of two `f64`.
const ROUNDING: f64 = f64::EPSILON;

/// Of each row all others, nearest first, and what it scores while none has been chosen.
pub(super) struct Neighbours<'a> {
    distances: &'a Distances,
    nearest: Vec<Vec<(usize, f64)>>,
    scores: Vec<Score>,
}

impl<'a> Neighbours<'a> {
    /// Those of rows with such distances; `count` nearest ones make up a score at first.
    pub(super) fn of(distances: &'a Distances, count: usize) -> Self {
        let nearest = distances.each_nearest_first();
        let scores = nearest.par_iter().map(|others| Score::of(others, count)).collect();
        Neighbours { distances, nearest, scores }
    }
}

/// The rows that are left to choose from.
///
/// What a row scores is the sum of its distances to so many nearest others, in ascending order. Such a sum is not taken
/// anew for every choice: it is known with a bound of its error from what left it and what came to it, and taken anew only
/// where several rows may have the least.
pub(super) struct Selection<'a> {
    neighbours: &'a Neighbours<'a>,
    /// In ascending order, and for each row whether it is among them.
    rows: Vec<usize>,
    left: Vec<bool>,
    scores: Vec<Score>,
}

/// What is known of the score of a row.
#[derive(Clone)]
struct Score {
    /// Of the row's others those before this place count, if they are left.
    reach: usize,
    /// How many of them are.
    count: usize,
    /// The order of the distance to the one at that place, and its row.
    beyond: (u64, usize),
    /// Sum of their distances, and how far it may be from the one in ascending order.
    sum: f64,
    error: f64,
}

impl<'a> Selection<'a> {
    /// All rows.
    pub(super) fn new(neighbours: &'a Neighbours<'a>) -> Self {
        let scores = neighbours.scores.clone();
        Selection { neighbours, rows: (0..scores.len()).collect(), left: vec![true; scores.len()], scores }
    }

    /// Takes out the row whose `count` nearest others left are least far away in sum; the first of equals.
    ///
    /// # Errors
    /// [`RuleError::NoUpdates`] if none is left.
    pub(super) fn take_least(&mut self, count: usize) -> Result<usize, RuleError> {
        let mut most = f64::INFINITY;
        for &row in &self.rows {
            let score = &mut self.scores[row];
            if score.count != count {
                score.reach(&self.neighbours.nearest[row], &self.left, count);
            }
            // As `f64::min`, which takes several instructions where this takes one.
            let at_most = score.sum + score.error;
            most = if at_most < most { at_most } else { most };
        }
        // What is not a number is not above anything, and is looked at.
        let above = |score: &Score| score.sum - score.error > most;
        let contenders = self.rows.iter().copied().filter(|&row| !above(&self.scores[row]));
        let contenders: Vec<usize> = contenders.collect();
        let winner = match *contenders {
            [only] => only,
            _ => least(contenders.into_iter().map(|row| (row, self.sum_up(row, count))))?,
        };
        self.take(winner);
        Ok(winner)
    }

    /// The score of a row, in ascending order.
    fn sum_up(&mut self, row: usize, count: usize) -> f64 {
        let others = self.neighbours.nearest[row].iter().filter(|(other, _)| self.left[*other]);
        let sum: f64 = others.take(count).map(|(_, distance)| distance).sum();
        let score = &mut self.scores[row];
        (score.sum, score.error) = (sum, Score::error_of(sum, count));
        sum
    }

    /// The row is not left any more.
    pub(super) fn take(&mut self, row: usize) {
        self.left[row] = false;
        self.rows.retain(|other| *other != row);
        let distances = self.neighbours.distances.from(row);
        for &other in &self.rows {
            let score = &mut self.scores[other];
            if (order(distances[other]), row) < score.beyond {
                score.add(-distances[other]);
                score.count -= 1;
            }
        }
    }
}

impl Score {
    /// That of a row with such others, of which `count` nearest ones count, or all if there are fewer.
    fn of(others: &[(usize, f64)], count: usize) -> Self {
        let count = count.min(others.len());
        let sum = others[..count].iter().map(|(_, distance)| distance).sum();
        Score { reach: count, count, beyond: Self::at(others, count), sum, error: Self::error_of(sum, count) }
    }

    /// What stands at a place, or what is beyond all others.
    fn at(others: &[(usize, f64)], place: usize) -> (u64, usize) {
        others.get(place).map_or((u64::MAX, 0), |&(other, distance)| (order(distance), other))
    }

    /// Lets so many others that are left count, or all if there are fewer.
    fn reach(&mut self, others: &[(usize, f64)], left: &[bool], count: usize) {
        while self.count < count && self.reach < others.len() {
            let (other, distance) = others[self.reach];
            if left[other] {
                self.add(distance);
                self.count += 1;
            }
            self.reach += 1;
        }
        while self.count > count {
            self.reach -= 1;
            let (other, distance) = others[self.reach];
            if left[other] {
                self.add(-distance);
                self.count -= 1;
            }
        }
        self.beyond = Self::at(others, self.reach);
    }

    /// How far a sum of so many distances may be from the true one.
    fn error_of(sum: f64, count: usize) -> f64 {
        count as f64 * ROUNDING * sum
    }

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
            first_count in 0..40_usize,
        ) {
            let distances = distances(&column(&values));
            let left_out = left_out.filter(|row| *row < values.len());
            let counts = if one_less_each { (1..values.len()).rev().collect() } else { counts };
            let expected = by_definition(&distances, left_out, &counts);
            let neighbours = Neighbours::of(&distances, first_count);
            let mut left = Selection::new(&neighbours);
            left_out.into_iter().for_each(|row| left.take(row));
            let taken: Vec<usize> =
                counts[..expected.len()].iter().map(|&count| left.take_least(count).unwrap()).collect();
            prop_assert_eq!(taken, expected);
        }
    }

    #[test]
    fn once_all_are_taken_there_is_nothing_to_choose() {
        let distances = distances(&column(&[1.0, 2.0]));
        let neighbours = Neighbours::of(&distances, 1);
        let mut left = Selection::new(&neighbours);
        left.take(1);
        assert_eq!(left.take_least(1), Ok(0));
        assert_eq!(left.take_least(1), Err(RuleError::NoUpdates));
    }
}
