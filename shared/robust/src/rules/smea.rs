//! Smallest maximum eigenvalue averaging.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{at_most_half, mean_of};
use crate::spectrum::largest_eigenpair;
use crate::{Byzantine, Gram, Plan, Round, Rule, RuleError};

/// The most subsets that are looked at.
const MOST_SUBSETS: u64 = 20_000;

/// The mean of the m - c updates whose largest variance is least: that of their covariance along its first principal axis (SMEA;
/// Allouah et al. 2023).
///
/// All subsets are looked at, and more than 20,000 are refused. Of subsets with equal variance, it is the one with the lowest
/// indices. Needs c < m / 2. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smea {}

impl Rule for Smea {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        at_most_half("smea", devices, byzantine)?;
        let byzantine = byzantine.left();
        if subsets(devices, byzantine) > MOST_SUBSETS {
            return Err(RuleError::TooHard { rule: "smea", steps: MOST_SUBSETS, devices, byzantine });
        }
        Ok(())
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let (gram, devices) = (round.gram(&[])?, round.devices());
        let mut subset: Vec<usize> = (0..devices - round.byzantine().left()).collect();
        let (mut least, mut best) = (f64::INFINITY, subset.clone());
        loop {
            let variance = largest_variance(&gram.select(&subset));
            if variance < least {
                (least, best) = (variance, subset.clone());
            }
            if !advance(&mut subset, devices) {
                return Ok(mean_of(&best, devices));
            }
        }
    }
}

/// Of all combinations of the vectors of length 1, the variance of the vectors along the one where it is largest.
fn largest_variance(gram: &Gram) -> f64 {
    let share = 1.0 / gram.size() as f64;
    let (largest, _) = largest_eigenpair(&gram.centred(&vec![share; gram.size()]));
    largest * share
}

/// How many ways there are to leave some of so many out.
fn subsets(devices: usize, left_out: usize) -> u64 {
    let mut count: u64 = 1;
    for chosen in 0..left_out as u64 {
        // Exact at each step: the product of so many numbers in a row.
        count = match count.checked_mul(devices as u64 - chosen) {
            Some(product) => product / (chosen + 1),
            None => return u64::MAX,
        };
    }
    count
}

/// The next subset in the order of indices; false after the last.
fn advance(subset: &mut [usize], devices: usize) -> bool {
    let size = subset.len();
    let Some(place) = (0..size).rev().find(|place| subset[*place] < devices - size + place) else {
        return false;
    };
    subset[place] += 1;
    for later in place + 1..size {
        subset[later] = subset[later - 1] + 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate_byzantine, column};
    use proptest::prelude::*;

    #[test]
    fn those_that_vary_least_are_averaged_and_of_equals_the_first() {
        assert_eq!(aggregate_byzantine(&Smea {}, 1, &column(&[0.0, 9.0, 1.0, 3.0])), [4.0 / 3.0]);
        assert_eq!(aggregate_byzantine(&Smea {}, 1, &column(&[0.0, 1.0, 2.0])), [0.5]);
        // Along its principal axis the first three vary less than any others.
        let rows = [vec![3.0, 0.0], vec![0.0, 3.0], vec![0.0, 0.0], vec![8.0, 8.0]];
        assert_eq!(aggregate_byzantine(&Smea {}, 1, &rows), [1.0, 1.0]);
    }

    #[test]
    fn too_many_subsets_are_refused() {
        assert_eq!(subsets(5, 2), 10);
        assert_eq!(subsets(200, 99), u64::MAX);
        assert_eq!(Smea {}.check(17, Byzantine::of(7)), Ok(()));
        let refused = Smea {}.check(100, Byzantine::of(20)).unwrap_err().to_string();
        assert!(refused.contains("20000") && refused.contains("100 updates"), "{refused}");
    }

    #[test]
    fn subsets_come_in_the_order_of_their_indices() {
        let mut subset = vec![0, 1];
        let mut all = vec![subset.clone()];
        while advance(&mut subset, 4) {
            all.push(subset.clone());
        }
        assert_eq!(all, [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]);
    }

    proptest! {
        #[test]
        fn of_a_column_it_agrees_with_the_definition(values in prop::collection::vec(-50..=50_i8, 3..9), c in 1..4_usize) {
            let (m, c) = (values.len(), c.min((values.len() - 1) / 2));
            let variance = |subset: &[usize]| {
                let value = |row: &usize| f64::from(values[*row]);
                let mean = subset.iter().map(value).sum::<f64>() / subset.len() as f64;
                subset.iter().map(|row| (value(row) - mean).powi(2)).sum::<f64>() / subset.len() as f64
            };
            let mut subset: Vec<usize> = (0..m - c).collect();
            let mut least = variance(&subset);
            while advance(&mut subset, m) {
                least = least.min(variance(&subset));
            }
            let rows = column(&values.iter().map(|value| f32::from(*value)).collect::<Vec<_>>());
            let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let updates = crate::Updates::new(&slices, None).unwrap();
            let plan = Plan::of(&Smea {}, &crate::Geometry::of(&updates), Byzantine::of(c)).unwrap();
            prop_assert!(variance(&plan.used(m)) <= least + 1e-9);
        }
    }
}
