//! Krum, repeated, each time among the updates that it has not selected yet.

use super::distances::Distances;
use super::scores::Scores;
use crate::RuleError;

/// Where each row stands among the others of all rows, and what it scores while none has been chosen.
#[derive(Debug)]
pub(crate) struct Neighbours {
    /// Row-major, for each row its places among the others of all rows, and for itself what is none.
    places: Vec<u32>,
    scores: Scores,
}

impl Neighbours {
    /// Those of rows whose others, nearest first, are `nearest`; `count` of them make up a score at first.
    pub(crate) fn of(nearest: &[Vec<(usize, f64)>], count: usize) -> Self {
        let rows = nearest.len();
        let mut places = vec![u32::MAX; rows * rows];
        for (row, others) in nearest.iter().enumerate() {
            for (place, (other, _)) in (0..).zip(others) {
                places[other * rows + row] = place;
            }
        }
        Neighbours { places, scores: Scores::of(nearest, count) }
    }
}

/// The updates of a round that are left to choose from.
///
/// What a row scores is the sum of its distances to so many nearest others, in ascending order. Such a sum is not taken
/// anew for every choice: it is known with a bound of its error from what left it and what came to it, and taken anew only
/// where several rows may have the least.
pub struct Selection<'a> {
    distances: &'a Distances,
    nearest: &'a [Vec<(usize, f64)>],
    neighbours: &'a Neighbours,
    /// A row that the round does not have; the numbers of those behind it are one less there.
    left_out: Option<usize>,
    scores: Scores,
    /// Memory for the rows that may have the least score.
    contenders: Vec<usize>,
}

impl<'a> Selection<'a> {
    pub(crate) fn new(
        distances: &'a Distances,
        nearest: &'a [Vec<(usize, f64)>],
        neighbours: &'a Neighbours,
        left_out: Option<usize>,
    ) -> Self {
        let (scores, contenders) = (neighbours.scores.clone(), Vec::with_capacity(nearest.len()));
        let mut selection = Selection { distances, nearest, neighbours, left_out, scores, contenders };
        left_out.into_iter().for_each(|row| selection.take(row));
        selection
    }

    /// Takes out the row whose `count` nearest others left are least far away in sum; the first of equals.
    ///
    /// # Errors
    /// [`RuleError::NoUpdates`] if none is left.
    pub fn take_least(&mut self, count: usize) -> Result<usize, RuleError> {
        let Selection { nearest, scores, contenders, .. } = self;
        scores.find_least(count, contenders);
        if contenders.len() > 1 {
            let mut most = f64::INFINITY;
            for &row in &*contenders {
                scores.reach(row, &nearest[row], count);
                most = most.min(scores.at_most(row));
            }
            contenders.retain(|&row| scores.may_be(row, most));
        }
        let winner = match **contenders {
            [only] => only,
            _ => least(contenders.iter().map(|&row| (row, scores.sum_up(row, &nearest[row], count))))?,
        };
        self.take(winner);
        Ok(winner - usize::from(self.left_out.is_some_and(|left_out| winner > left_out)))
    }

    /// The row is not left any more.
    fn take(&mut self, row: usize) {
        let rows = self.distances.devices();
        let places = &self.neighbours.places[row * rows..][..rows];
        self.scores.leave(row, self.distances.from(row), places);
    }
}

/// The row of the least score, the first of equals.
pub(crate) fn least(scores: impl Iterator<Item = (usize, f64)>) -> Result<usize, RuleError> {
    // `min_by` keeps the first of equal elements.
    let winner = scores.min_by(|(_, a), (_, b)| a.total_cmp(b));
    winner.map(|(row, _)| row).ok_or(RuleError::NoUpdates)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::properties::{column, distances};

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
            let nearest = distances.each_nearest_first();
            let neighbours = Neighbours::of(&nearest, first_count);
            let mut left = Selection::new(&distances, &nearest, &neighbours, left_out);
            let mut take = |&count: &usize| {
                let taken = left.take_least(count).unwrap();
                taken + usize::from(left_out.is_some_and(|left_out| taken >= left_out))
            };
            let taken: Vec<usize> = counts[..expected.len()].iter().map(&mut take).collect();
            prop_assert_eq!(taken, expected);
        }
    }

    #[test]
    fn once_all_are_taken_there_is_nothing_to_choose() {
        let distances = distances(&column(&[1.0, 2.0]));
        let nearest = distances.each_nearest_first();
        let neighbours = Neighbours::of(&nearest, 1);
        let mut left = Selection::new(&distances, &nearest, &neighbours, Some(1));
        assert_eq!(left.take_least(1), Ok(0));
        assert_eq!(left.take_least(1), Err(RuleError::NoUpdates));
    }
}
