//! The median of means: the geometric median of the means of groups of devices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GeometricMedian, is_positive};
use crate::draws::{Purpose, draw};
use crate::{Byzantine, Combination, Plan, Round, Rule, RuleError};

/// The geometric median of the means of groups of devices (Chen, Su and Xu 2017).
///
/// Who is in a group is drawn once for the run. Needs more than twice as many groups as Byzantine devices, so that most
/// groups have none. The number of examples is ignored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MedianOfMeans {
    /// How many groups there are (the paper's k); by default the least number above 2 `byzantine` that divides the updates
    /// of the round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<u32>,
    /// The distance below which means count the same, as in `geometric-median`.
    pub smoothing: f64,
}

impl Default for MedianOfMeans {
    fn default() -> Self {
        MedianOfMeans { groups: None, smoothing: 1e-6 }
    }
}

impl MedianOfMeans {
    fn groups(&self, devices: usize, byzantine: Byzantine) -> usize {
        let least = byzantine.left().saturating_mul(2).saturating_add(1);
        // As many groups as devices divide them.
        self.groups.map_or_else(
            || (least..=devices).find(|groups| devices.is_multiple_of(*groups)).unwrap_or(least),
            |groups| groups as usize,
        )
    }
}

impl Rule for MedianOfMeans {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        is_positive("median-of-means", "smoothing", self.smoothing)?;
        let groups = self.groups(devices, byzantine);
        if byzantine.left().saturating_mul(2) < groups && groups <= devices {
            return Ok(());
        }
        let (rule, condition) = ("median-of-means", "2 byzantine < groups <= devices");
        Err(RuleError::Condition { rule, condition, parameter: "groups", value: groups, devices })
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let devices = round.devices();
        let groups = self.groups(devices, round.byzantine());
        let mut order: Vec<usize> = (0..devices).collect();
        let drawn =
            |row: &usize| draw(round.seed(), Purpose::Groups, round.sender(*row).unwrap_or(*row as u32));
        order.sort_by_cached_key(|row| (drawn(row), *row));
        let mut means = vec![vec![0.0; devices]; groups];
        for (place, row) in order.into_iter().enumerate() {
            means[place * groups / devices][row] = 1.0;
        }
        for mean in &mut means {
            let count: f64 = mean.iter().sum();
            mean.iter_mut().for_each(|weight| *weight /= count);
        }
        let median = GeometricMedian { smoothing: self.smoothing, steps: None };
        let weights = median.weights(&round.gram(&[])?.of_combinations(&means));
        let means: Vec<Combination> = means.into_iter().map(Combination::of).collect();
        Ok(Plan::Combination(Combination::of(weights).of_parts(&means)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, aggregate_byzantine, matrix};
    use crate::{Context, Executor as _, InContext, Processors, Updates, euclidean};
    use proptest::prelude::*;

    fn check(groups: Option<u32>, byzantine: usize, devices: usize) -> Result<(), String> {
        let rule = MedianOfMeans { groups, ..MedianOfMeans::default() };
        rule.check(devices, Byzantine::of(byzantine)).map_err(|error| error.to_string())
    }

    #[test]
    fn most_groups_are_without_a_byzantine_device() {
        assert_eq!(check(None, 2, 10), Ok(()));
        assert_eq!(check(Some(5), 2, 10), Ok(()));
        for (groups, byzantine, devices) in [(Some(4), 2, 10), (Some(11), 2, 10), (None, 5, 10)] {
            assert!(
                check(groups, byzantine, devices).unwrap_err().contains("2 byzantine < groups <= devices")
            );
        }
        let groups = |devices| MedianOfMeans::default().groups(devices, Byzantine::of(2));
        assert_eq!([10, 12, 11, 5].map(groups), [5, 6, 11, 5]);
    }

    #[test]
    fn who_is_in_a_group_is_drawn_for_the_run_and_not_for_the_round() {
        let rows: Vec<Vec<f32>> = (0..8_u16).map(|row| vec![f32::from(row * row), f32::from(row)]).collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let rule = MedianOfMeans { groups: Some(4), ..MedianOfMeans::default() };
        let of = |seed, devices: &[u32], round| {
            let context = Context { devices, seed, round, ..Context::default() };
            let updates = Updates::new(&rows, None).unwrap();
            Processors
                .aggregate(&InContext { rule: &rule, context }, &updates, Byzantine::of(1))
                .unwrap()
                .values
        };
        let all: Vec<u32> = (0..8).collect();
        assert_eq!(of(1, &all, 1), of(1, &all, 2));
        assert!((2..9).any(|seed| of(seed, &all, 1) != of(1, &all, 1)));
        let others: Vec<u32> = (8..16).collect();
        assert_ne!(of(1, &others, 1), of(1, &all, 1));
    }

    proptest! {
        #[test]
        fn of_groups_of_one_it_is_the_geometric_median(rows in matrix(3..9)) {
            let rule = MedianOfMeans { groups: Some(rows.len() as u32), ..MedianOfMeans::default() };
            // Wherever the search ends, the sum of the distances is the least.
            let sum = |point: Vec<f32>| -> f64 { rows.iter().map(|row| euclidean(row, &point)).sum() };
            let (sum, expected) = (sum(aggregate(&rule, &rows)), sum(aggregate(&GeometricMedian::default(), &rows)));
            prop_assert!((sum - expected).abs() <= 1e-5 * expected + 1e-4, "{sum} {expected}");
        }

        #[test]
        fn of_one_group_it_is_the_mean(rows in matrix(1..9)) {
            let rule = MedianOfMeans { groups: Some(1), ..MedianOfMeans::default() };
            let mean = aggregate(&crate::Mean::default(), &rows);
            for (value, expected) in aggregate_byzantine(&rule, 0, &rows).into_iter().zip(mean) {
                prop_assert!((value - expected).abs() <= 1e-4, "{value} {expected}");
            }
        }
    }
}
