//! Combinations of updates and other vectors.

use std::iter;

use super::columns::{blocks_of, give_shape};
use super::mean::{MeanWeights, weighted_mean};
use crate::combination::others_of;
use crate::{Combination, RuleError, Updates};
use rayon::prelude::*;
use simd::{Kernel, vectorized};

/// Columns of a task.
const COLUMNS: usize = 512;

/// Columns that are summed at a time: in 64 bits, those of a hundred rows are in a first-level cache, and the sums in registers.
const TILE: usize = 32;

/// What `combinations` of `updates` are, d values each. Sums are taken in `f64`.
///
/// What most combinations have in common is summed up once, and for each of them how it differs: means of nearly all updates
/// take as many sums as there are updates left out.
///
/// # Errors
/// [`RuleError::WeightCount`] if one has not a coefficient for each update.
pub(crate) fn combinations(
    updates: &Updates<'_>,
    combinations: &[Combination],
    results: &mut Vec<Vec<f32>>,
) -> Result<(), RuleError> {
    let rows = updates.len();
    if let Some(other) = combinations.iter().find(|combination| combination.weights.len() != rows) {
        return Err(RuleError::WeightCount { rows, weights: other.weights.len() });
    }
    let terms = Terms::of(updates, combinations);
    give_shape(results, combinations.len(), updates.dimension());
    let (common, differences) = terms.in_common();
    let (vectors, common, differences) = (&terms.vectors, &common, &differences);
    let blocks = blocks_of(results, COLUMNS);
    blocks.into_par_iter().enumerate().for_each(|(block, pieces)| {
        vectorized(Sums { vectors, common, differences, start: block * COLUMNS, pieces });
    });
    for (combination, result) in combinations.iter().zip(results) {
        if let Some(row) = combination.only() {
            result.copy_from_slice(updates.rows()[row]);
        }
    }
    Ok(())
}

/// What one combination of `updates` is, d values.
///
/// # Errors
/// As [`combinations`].
pub(crate) fn combine(updates: &Updates<'_>, combination: &Combination) -> Result<Vec<f32>, RuleError> {
    if let Some(row) = combination.only() {
        return Ok(updates.rows()[row].to_vec());
    }
    let (rows, weights) = (updates.len(), combination.weights.len());
    if rows != weights {
        return Err(RuleError::WeightCount { rows, weights });
    }
    let Terms { vectors, mut coefficients } = Terms::of(updates, std::slice::from_ref(combination));
    let each = coefficients.pop().unwrap_or_default();
    let (vectors, each): (Vec<&[f32]>, _) =
        vectors.into_iter().zip(each).filter(|(_, weight)| *weight != 0.0).unzip();
    if vectors.is_empty() {
        return Ok(vec![0.0; updates.dimension()]);
    }
    Ok(weighted_mean(&Updates::new(&vectors, None)?, &MeanWeights { each, total: 1.0 }))
}

/// The vectors that combinations are sums of, and for each combination their coefficients.
struct Terms<'a> {
    vectors: Vec<&'a [f32]>,
    coefficients: Vec<Vec<f64>>,
}

impl<'a> Terms<'a> {
    fn of(updates: &Updates<'a>, combinations: &'a [Combination]) -> Self {
        let others = others_of(combinations);
        let coefficients = combinations.iter().map(|combination| {
            let weights = &combination.weights;
            // Updates are offsets from the origin, of which the combination has what is missing to 1.
            let origin = updates.origin().map(|_| 1.0 - weights.iter().sum::<f64>());
            let others = others.iter().map(|other| combination.share(other));
            weights.iter().copied().chain(origin).chain(others).collect()
        });
        let coefficients = coefficients.collect();
        let others = others.iter().map(|other| &other[..]);
        let vectors = updates.rows().iter().copied().chain(updates.origin()).chain(others).collect();
        Terms { vectors, coefficients }
    }
}

/// Vectors by their place, each with its coefficient.
type Sparse = Vec<(usize, f64)>;

impl Terms<'_> {
    /// What most combinations have, and for each what is to be added to that.
    fn in_common(&self) -> (Sparse, Vec<Sparse>) {
        let usual: Vec<f64> = (0..self.vectors.len()).map(|vector| self.usual(vector)).collect();
        let sparse = |all: &mut dyn Iterator<Item = f64>| -> Sparse {
            all.enumerate().filter(|(_, coefficient)| *coefficient != 0.0).collect()
        };
        let beyond = |all: &Vec<f64>| sparse(&mut iter::zip(all, &usual).map(|(own, usual)| own - usual));
        (sparse(&mut usual.iter().copied()), self.coefficients.iter().map(beyond).collect())
    }

    /// The coefficient that more than half of the combinations have for a vector, or 0.
    fn usual(&self, vector: usize) -> f64 {
        let of_vector = || self.coefficients.iter().map(|all| all[vector]);
        // If more than half are alike, it is the one that is left when others are struck out in pairs.
        let strike = |(left, count): (f64, usize), next: f64| match count {
            0 => (next, 1),
            _ if next == left => (left, count + 1),
            _ => (left, count - 1),
        };
        let (candidate, _) = of_vector().fold((0.0, 0), strike);
        let count = of_vector().filter(|coefficient| *coefficient == candidate).count();
        if 2 * count > self.coefficients.len() { candidate } else { 0.0 }
    }
}

/// For each piece the sum of vectors, each times its coefficient: of as many columns from `start` on as there are places.
struct Sums<'a, 'p> {
    vectors: &'a [&'a [f32]],
    common: &'a [(usize, f64)],
    differences: &'a [Sparse],
    start: usize,
    pieces: Vec<&'p mut [f32]>,
}

impl Kernel for Sums<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let columns = self.pieces.first().map_or(0, |piece| piece.len());
        let mut tile = vec![[0.0; TILE]; self.vectors.len()];
        for first in (0..columns).step_by(TILE) {
            let count = TILE.min(columns - first);
            for (wide, vector) in iter::zip(&mut tile, self.vectors) {
                let values = &vector[self.start + first..][..count];
                wide.iter_mut().zip(values).for_each(|(wide, value)| *wide = f64::from(*value));
            }
            let common = sum([0.0; TILE], self.common, &tile);
            for (piece, differences) in iter::zip(&mut self.pieces, self.differences) {
                let sums = sum(common, differences, &tile);
                piece[first..][..count].iter_mut().zip(sums).for_each(|(value, sum)| *value = sum as f32);
            }
        }
    }
}

/// `sums`, with each of these vectors times its coefficient added.
#[inline(always)]
fn sum(mut sums: [f64; TILE], vectors: &[(usize, f64)], tile: &[[f64; TILE]]) -> [f64; TILE] {
    for (vector, coefficient) in vectors {
        sums.iter_mut().zip(&tile[*vector]).for_each(|(sum, value)| *sum += value * coefficient);
    }
    sums
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn combinations_are_sums_of_updates_from_the_origin_and_of_other_vectors() {
        let value = |row: usize, column: usize| ((row * 37 + column * 11) % 17) as f32 - 8.0;
        let dimension = COLUMNS + 3;
        let vector = |row| (0..dimension).map(|column| value(row, column)).collect::<Vec<_>>();
        let rows: Vec<Vec<f32>> = (0..5).map(vector).collect();
        let (origin, other) = (vector(7), Arc::<[f32]>::from(vector(9)));
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let updates = Updates::new(&rows, None).unwrap().from_origin(&origin).unwrap();
        let all: Vec<Combination> = (0..6)
            .map(|k| Combination {
                weights: (0..5).map(|row| f64::from((k * 3 + row * 5) % 4) - 1.0).collect(),
                others: if k % 2 == 0 { vec![(other.clone(), 0.5)] } else { Vec::new() },
            })
            .chain([Combination::row(3, 5)])
            .collect();
        let mut results = Vec::new();
        combinations(&updates, &all, &mut results).unwrap();
        for (combination, result) in all.iter().zip(&results) {
            assert_eq!(*result, combine(&updates, combination).unwrap());
            for column in 0..dimension {
                let update = |row: usize| f64::from(rows[row][column]) - f64::from(origin[column]);
                let updates: f64 = (0..5).map(|row| combination.weights[row] * update(row)).sum();
                let others: f64 =
                    combination.others.iter().map(|(other, share)| share * f64::from(other[column])).sum();
                assert_eq!(f64::from(result[column]), f64::from(origin[column]) + updates + others);
            }
        }
    }

    #[test]
    fn means_of_all_but_a_few_are_those_that_each_has_by_itself() {
        let value = |row: usize, column: usize| ((row * 37 + column * 11) % 1_009) as f32 / 7.0 - 60.0;
        let mut rows: Vec<Vec<f32>> =
            (0..20).map(|row| (0..100).map(|column| value(row, column)).collect()).collect();
        // Only its own mean has it.
        rows[13] = vec![1e30; 100];
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let updates = Updates::new(&rows, None).unwrap();
        let without = |k: usize, row: usize| (row == 13 && k != 13) || (row * 7 + k * 3).is_multiple_of(10);
        let weights = |k: usize| (0..20).map(|row| if without(k, row) { 0.0 } else { 1.0 / 17.0 }).collect();
        let all: Vec<Combination> = (0..20).map(|k| Combination::of(weights(k))).collect();
        let mut results = Vec::new();
        combinations(&updates, &all, &mut results).unwrap();
        for (combination, result) in all.iter().zip(&results) {
            for (one, other) in result.iter().zip(combine(&updates, combination).unwrap()) {
                assert!((one - other).abs() <= 1e-6 * other.abs().max(1.0), "{one}, not {other}");
            }
        }
    }

    #[test]
    fn a_combination_of_other_updates_is_refused() {
        let rows: [&[f32]; 2] = [&[1.0], &[2.0]];
        let updates = Updates::new(&rows, None).unwrap();
        let refused = RuleError::WeightCount { rows: 2, weights: 3 };
        assert_eq!(combine(&updates, &Combination::of(vec![0.5; 3])), Err(refused));
    }
}
