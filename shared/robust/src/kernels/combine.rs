//! Combinations of updates and other vectors.

use std::iter;

use super::columns::{blocks_of, give_shape};
use super::mean::{MeanWeights, weighted_mean};
use crate::combination::others_of;
use crate::{Combination, RuleError, Updates};
use rayon::prelude::*;
use simd::{Kernel, vectorized};

/// Combinations that are summed up together, so that each value read counts for so many of them.
const GROUP: usize = 4;

/// Columns that are summed at a time: those of a hundred rows are in a second-level cache, the sums in a first-level one.
const COLUMNS: usize = 512;

/// What `combinations` of `updates` are, d values each. Sums are taken in `f64` and in the order of the rows.
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
    let groups: Vec<Vec<[f64; GROUP]>> = terms.coefficients.chunks(GROUP).map(side_by_side).collect();
    let blocks = blocks_of(results, COLUMNS);
    blocks.into_par_iter().enumerate().for_each(|(block, mut pieces)| {
        let start = block * COLUMNS;
        for (pieces, coefficients) in pieces.chunks_mut(GROUP).zip(&groups) {
            vectorized(Sums { vectors: &terms.vectors, coefficients, start, pieces });
        }
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

/// The coefficients of a group of combinations, vector by vector; zeros for those that it lacks.
fn side_by_side(group: &[Vec<f64>]) -> Vec<[f64; GROUP]> {
    let of = |place: usize, vector: usize| group.get(place).map_or(0.0, |coefficients| coefficients[vector]);
    (0..group[0].len()).map(|vector| [0, 1, 2, 3].map(|place| of(place, vector))).collect()
}

/// For each piece the sum of all vectors, each times its coefficient: of as many columns from `start` on as there are places.
struct Sums<'a, 'p> {
    vectors: &'a [&'a [f32]],
    coefficients: &'a [[f64; GROUP]],
    start: usize,
    pieces: &'a mut [&'p mut [f32]],
}

impl Kernel for Sums<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let columns = self.pieces.first().map_or(0, |piece| piece.len());
        let mut sums = [[0.0; COLUMNS]; GROUP];
        for (vector, coefficients) in iter::zip(self.vectors, self.coefficients) {
            if *coefficients != [0.0; GROUP] {
                add(&mut sums, &vector[self.start..][..columns], coefficients);
            }
        }
        for (piece, sums) in self.pieces.iter_mut().zip(&sums) {
            for (value, sum) in piece.iter_mut().zip(sums) {
                *value = *sum as f32;
            }
        }
    }
}

#[inline(always)]
fn add(sums: &mut [[f64; COLUMNS]; GROUP], values: &[f32], coefficients: &[f64; GROUP]) {
    let [first, second, third, fourth] = sums;
    let sums = first.iter_mut().zip(second).zip(third.iter_mut().zip(fourth));
    for (((first, second), (third, fourth)), value) in sums.zip(values) {
        let value = f64::from(*value);
        *first += value * coefficients[0];
        *second += value * coefficients[1];
        *third += value * coefficients[2];
        *fourth += value * coefficients[3];
    }
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
    fn a_combination_of_other_updates_is_refused() {
        let rows: [&[f32]; 2] = [&[1.0], &[2.0]];
        let updates = Updates::new(&rows, None).unwrap();
        let refused = RuleError::WeightCount { rows: 2, weights: 3 };
        assert_eq!(combine(&updates, &Combination::of(vec![0.5; 3])), Err(refused));
    }
}
