//! Minimum diameter averaging.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{at_most_half, mean_of};
use crate::{Byzantine, Plan, Round, Rule, RuleError};

/// Steps after which the search for the subset ends.
const MOST_STEPS: u64 = 100_000;

/// The mean of the m - c updates of which the two farthest apart are nearest (minimum diameter averaging; El Mhamdi et al. 2018).
///
/// The subset is the true one: a search that has not found it after 100,000 steps refuses to aggregate. Of subsets of equal
/// diameter, it is the one with the lowest indices. Needs c < m / 2. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mda {}

impl Rule for Mda {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        at_most_half("mda", devices, byzantine)
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let (devices, byzantine) = (round.devices(), round.byzantine().left());
        let from = |a| (0..devices).map(|b| round.distance(a, b)).collect::<Result<Vec<_>, _>>();
        let distances = (0..devices).map(from).collect::<Result<_, _>>()?;
        Ok(mean_of(&Search { distances, steps: 0 }.nearest(byzantine)?, devices))
    }
}

/// The search for a subset: whoever is farther apart than a diameter cannot both be in it, so that those who are left out
/// are a vertex cover of the graph of such pairs.
struct Search {
    distances: Vec<Vec<f64>>,
    steps: u64,
}

impl Search {
    /// All vectors but `left_out` of least diameter, with the lowest indices.
    fn nearest(&mut self, left_out: usize) -> Result<Vec<usize>, RuleError> {
        let devices = self.distances.len();
        let mut diameters: Vec<f64> = self.distances.iter().flatten().copied().collect();
        diameters.sort_by(f64::total_cmp);
        diameters.dedup();
        // The least that is possible; the largest of all is.
        let (mut least, mut possible) = (0, diameters.len() - 1);
        while least < possible {
            let middle = usize::midpoint(least, possible);
            if self.covers(diameters[middle], &mut vec![true; devices], left_out)? {
                possible = middle;
            } else {
                least = middle + 1;
            }
        }
        let diameter = diameters[least];
        let (mut alive, mut left, mut kept) = (vec![true; devices], left_out, Vec::new());
        for row in 0..devices {
            if !alive[row] || kept.len() == devices - left_out {
                continue;
            }
            let mut with = alive.clone();
            let others: Vec<usize> = self.conflicts(row, diameter, &alive).collect();
            others.iter().for_each(|other| with[*other] = false);
            let fits = others.len() <= left && !kept.iter().any(|kept| others.contains(kept));
            if fits && self.covers(diameter, &mut with.clone(), left - others.len())? {
                (alive, left) = (with, left - others.len());
                kept.push(row);
            } else {
                alive[row] = false;
                left = left.saturating_sub(1);
            }
        }
        Ok(kept)
    }

    fn conflicts<'a>(
        &'a self,
        row: usize,
        diameter: f64,
        alive: &'a [bool],
    ) -> impl Iterator<Item = usize> + 'a {
        let distances = self.distances[row].iter().enumerate();
        distances
            .filter(move |(other, distance)| alive[*other] && **distance > diameter)
            .map(|(other, _)| other)
    }

    /// Whether at most `left` of those that are `alive` can go, so that no two are farther apart than `diameter`.
    fn covers(&mut self, diameter: f64, alive: &mut Vec<bool>, left: usize) -> Result<bool, RuleError> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            let devices = self.distances.len();
            return Err(RuleError::TooHard { rule: "mda", steps: MOST_STEPS, devices, byzantine: left });
        }
        let degrees = (0..alive.len()).filter(|row| alive[*row]);
        let degrees: Vec<(usize, usize)> =
            degrees.map(|row| (self.conflicts(row, diameter, alive).count(), row)).collect();
        let pairs = degrees.iter().map(|(degree, _)| degree).sum::<usize>() / 2;
        let Some(&(degree, row)) = degrees.iter().max_by_key(|(degree, row)| (*degree, usize::MAX - row))
        else {
            return Ok(true);
        };
        if pairs == 0 {
            return Ok(true);
        }
        // Each that goes takes so many pairs along at the most.
        if pairs > left * degree {
            return Ok(false);
        }
        // Either it goes, or all that are too far from it.
        let mut without = alive.clone();
        without[row] = false;
        if self.covers(diameter, &mut without, left - 1)? {
            return Ok(true);
        }
        if degree > left {
            return Ok(false);
        }
        let others: Vec<usize> = self.conflicts(row, diameter, alive).collect();
        others.iter().for_each(|other| alive[*other] = false);
        self.covers(diameter, alive, left - others.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate_byzantine, column, matrix};
    use proptest::prelude::*;

    #[test]
    fn the_nearest_are_averaged_and_of_equals_the_first() {
        assert_eq!(aggregate_byzantine(&Mda {}, 1, &column(&[0.0, 9.0, 1.0, 3.0])), [4.0 / 3.0]);
        assert_eq!(aggregate_byzantine(&Mda {}, 1, &column(&[0.0, 1.0, 2.0])), [0.5]);
        assert_eq!(aggregate_byzantine(&Mda {}, 2, &column(&[7.0; 5])), [7.0]);
    }

    #[test]
    fn a_search_that_would_not_end_is_refused() {
        // Points of a high dimension that are all nearly as far apart.
        let value = |row: u64, column: u64| {
            let mixed = (row * 7919 + column * 104_729 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> 40) as f32
        };
        let rows: Vec<Vec<f32>> = (0..120).map(|row| (0..300).map(|j| value(row, j)).collect()).collect();
        let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let updates = crate::Updates::new(&slices, None).unwrap();
        let refused = Plan::of(&Mda {}, &crate::Geometry::of(&updates), Byzantine::of(50)).unwrap_err();
        assert!(matches!(refused, RuleError::TooHard { rule: "mda", .. }), "{refused}");
    }

    /// The definition: all subsets, in the order of their indices.
    fn by_definition(rows: &[Vec<f32>], c: usize) -> Vec<f32> {
        let m = rows.len();
        let distance =
            |a: usize, b: usize| rows[a].iter().zip(&rows[b]).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let mut subsets: Vec<Vec<usize>> = (0_u32..1 << m)
            .filter(|bits| bits.count_ones() as usize == m - c)
            .map(|bits| (0..m).filter(|row| bits & (1 << row) != 0).collect())
            .collect();
        subsets.sort();
        let diameter = |subset: &Vec<usize>| {
            let pairs = subset.iter().flat_map(|a| subset.iter().map(move |b| distance(*a, *b)));
            pairs.fold(0.0, f32::max)
        };
        let mut best = &subsets[0];
        for subset in &subsets {
            if diameter(subset) < diameter(best) {
                best = subset;
            }
        }
        let mean =
            |j: usize| best.iter().map(|row| f64::from(rows[*row][j])).sum::<f64>() / best.len() as f64;
        (0..rows[0].len()).map(|j| mean(j) as f32).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(1..9), c in 0..4_usize) {
            let c = c.min((rows.len() - 1) / 2);
            prop_assert_eq!(aggregate_byzantine(&Mda {}, c, &rows), by_definition(&rows, c));
        }
    }
}
