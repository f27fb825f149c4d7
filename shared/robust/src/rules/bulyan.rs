//! Bulyan: Krum picks a majority of plausible updates, and each coordinate is then averaged near its median.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Byzantine, Plan, Round, Rule, RuleError, Statistic};

/// Selects θ updates by Krum, one after the other, and takes of each coordinate the mean of the γ selected values nearest
/// their median (El Mhamdi et al. 2018).
///
/// - Selection: the winner of Krum among those left is moved to the selection, θ times. While m' are left, the
///   m' - c - 2 nearest others of those left count, and always at least one: the last choices would else be no
///   choices. Ties go to the lowest index; where a single neighbour counts, two that are each other's nearest always
///   tie.
/// - Mean: the median of an even number of values is the mean of the two middle ones; of two values equally far from
///   it, the lower is kept. Sums are taken in `f64`.
///
/// Needs c <= (m - 3) / 4, θ <= m - 2c, γ <= θ - 2c and γ >= 1. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bulyan {
    /// Updates that are selected (the paper's theta); by default m - 2 `byzantine` of the m updates of the round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theta: Option<u32>,
    /// Values that are averaged (the paper's gamma); by default `theta` - 2 `byzantine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<u32>,
}

/// θ and γ for some number of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    theta: usize,
    gamma: usize,
}

impl Bulyan {
    /// θ and γ for `devices` devices, once all conditions hold.
    fn sizes(&self, devices: usize, byzantine: usize) -> Result<Sizes, RuleError> {
        let given = |size: Option<u32>, default| size.map_or(default, |size| size as usize);
        let theta = given(self.theta, devices.saturating_sub(byzantine.saturating_mul(2)));
        let gamma = given(self.gamma, theta.saturating_sub(byzantine.saturating_mul(2)));
        let more = |count: usize| byzantine.saturating_mul(2).saturating_add(count);
        let conditions = [
            ("byzantine <= (devices - 3) / 4", byzantine.saturating_mul(4).saturating_add(3) <= devices),
            ("theta <= devices - 2 byzantine", more(theta) <= devices),
            ("gamma <= theta - 2 byzantine", more(gamma) <= theta),
            ("gamma >= 1", gamma >= 1),
        ];
        match conditions.into_iter().find(|(_, holds)| !holds) {
            None => Ok(Sizes { theta, gamma }),
            Some((condition, _)) => Err(RuleError::Bulyan { condition, theta, gamma, byzantine, devices }),
        }
    }
}

impl Rule for Bulyan {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        self.sizes(devices, byzantine.left()).map(|_| ())
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let (devices, byzantine) = (round.devices(), round.byzantine().left());
        let Sizes { theta, gamma } = self.sizes(devices, byzantine)?;
        let neighbours = |left: usize| left.saturating_sub(byzantine.saturating_add(2)).max(1);
        let mut left = round.selection(neighbours(devices))?;
        let mut rows = Vec::with_capacity(theta);
        while rows.len() < theta {
            rows.push(left.take_least(neighbours(devices - rows.len()))?);
        }
        Ok(Plan::Columns { statistic: Statistic::MeanNearMedian { count: gamma }, rows: Some(rows) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate_byzantine, column, matrix};
    use crate::{Geometry, Updates};
    use proptest::collection::vec;
    use proptest::prelude::*;

    const SEVEN: [f32; 7] = [90.0, 0.0, 1.0, 2.0, 3.0, 4.0, 7.0];

    /// θ and γ as they are by default, or others.
    fn bulyan(theta: Option<u32>, gamma: Option<u32>) -> Bulyan {
        Bulyan { theta, gamma }
    }

    /// What is selected where one device is assumed to be Byzantine.
    fn select(bulyan: &Bulyan, rows: &[Vec<f32>]) -> Vec<usize> {
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let updates = Updates::new(&rows, None).unwrap();
        match Plan::of(bulyan, &Geometry::of(&updates), Byzantine::of(1)).unwrap() {
            Plan::Columns { rows: Some(rows), .. } => rows,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_winner_of_krum_among_those_left_is_moved_to_the_selection_theta_times() {
        // c = 1, so θ = 5 and γ = 3. Of all, 4 neighbours count: 2 scores 1 + 1 + 2 + 2.
        // Of 90 0 1 3 4 7, 3 count: 1 and 3 both score 1 + 2 + 3, and 1 comes first.
        // Of 90 0 3 4 7, 2 count: 3 and 4 both score 1 + 3, and 3 comes first.
        // Of 90 0 4 7, 1 counts: 4 and 7 both score 3, and 4 comes first.
        // Of 90 0 7, still 1 counts and not 0, or 90 would come first: 0 and 7 both score 7.
        assert_eq!(select(&bulyan(None, None), &column(&SEVEN)), [3, 2, 4, 5, 1]);
        // Of the selected 2 1 3 4 0, the three nearest the median 2 are 1 2 3.
        assert_eq!(aggregate_byzantine(&bulyan(None, None), 1, &column(&SEVEN)), [2.0]);
    }

    #[test]
    fn theta_and_gamma_may_be_smaller_than_their_defaults() {
        let rows = column(&SEVEN);
        let theta = bulyan(Some(3), None);
        assert_eq!(select(&theta, &rows), [3, 2, 4]);
        assert_eq!(aggregate_byzantine(&theta, 1, &rows), [2.0]);
        assert_eq!(aggregate_byzantine(&bulyan(None, Some(2)), 1, &rows), [1.5]);
    }

    #[test]
    fn conditions_are_exact_at_their_boundaries() {
        let sizes = |theta, gamma| bulyan(theta, gamma).sizes(100, 20);
        assert_eq!(sizes(None, None), Ok(Sizes { theta: 60, gamma: 20 }));
        assert_eq!(sizes(Some(41), None), Ok(Sizes { theta: 41, gamma: 1 }));
        let check = |rule: Bulyan, byzantine, devices| rule.check(devices, Byzantine::of(byzantine));
        assert_eq!(check(bulyan(None, None), 1, 7), Ok(()));
        assert_eq!(check(bulyan(None, None), 0, 3), Ok(()));
        let refused = |rule, byzantine, devices| check(rule, byzantine, devices).unwrap_err().to_string();
        assert_eq!(
            refused(bulyan(None, None), 1, 6),
            "bulyan needs byzantine <= (devices - 3) / 4, but byzantine = 1, devices = 6, theta = 4 and \
             gamma = 2: change aggregation.byzantine, theta or gamma, or the number of devices"
        );
        let twenty = |theta, gamma| refused(bulyan(theta, gamma), 20, 100);
        assert!(twenty(Some(61), None).contains("needs theta <= devices - 2 byzantine"));
        assert!(twenty(None, Some(21)).contains("needs gamma <= theta - 2 byzantine"));
        assert!(twenty(Some(40), None).contains("needs gamma >= 1"));
        assert!(twenty(None, Some(0)).contains("needs gamma >= 1"));
        assert!(check(bulyan(None, None), usize::MAX, 100).is_err());
        assert!(check(bulyan(Some(u32::MAX), None), 1, 100).is_err());
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic() {
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 1.0, 2.0, 3.0];
        assert_eq!(aggregate_byzantine(&bulyan(None, None), 1, &column(&odd)).len(), 1);
    }

    /// The definition, word by word.
    fn by_definition(rows: &[Vec<f32>], c: usize, theta: usize, gamma: usize) -> Vec<f32> {
        let distance = |a: &[f32], b: &[f32]| {
            f64::from(a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>()).sqrt()
        };
        let (mut left, mut selection) = (rows.to_vec(), Vec::new());
        for _ in 0..theta {
            let neighbours = if left.len() > c + 3 { left.len() - c - 2 } else { 1 };
            let (mut winner, mut least) = (0, f64::INFINITY);
            for i in 0..left.len() {
                let others = left.iter().enumerate().filter(|(j, _)| *j != i);
                let mut others: Vec<f64> = others.map(|(_, other)| distance(&left[i], other)).collect();
                others.sort_by(f64::total_cmp);
                let score = others.iter().take(neighbours).sum();
                if score < least {
                    (winner, least) = (i, score);
                }
            }
            selection.push(left.remove(winner));
        }
        let mean_near_median = |j: usize| {
            let mut values: Vec<f64> = selection.iter().map(|row| f64::from(row[j])).collect();
            values.sort_by(f64::total_cmp);
            let median = f64::midpoint(values[(theta - 1) / 2], values[theta / 2]);
            // Stable: the lower of two equally far stays ahead.
            values.sort_by(|a, b| (a - median).abs().total_cmp(&(b - median).abs()));
            (values[..gamma].iter().sum::<f64>() / gamma as f64) as f32
        };
        (0..rows[0].len()).map(mean_near_median).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(7..16), c in 0..4_usize, less in 0..3_usize, fewer in 0..3_usize) {
            let c = c.min((rows.len() - 3) / 4);
            let theta = (rows.len() - 2 * c).saturating_sub(less).max(2 * c + 1);
            let gamma = (theta - 2 * c).saturating_sub(fewer).max(1);
            let rule = bulyan(Some(theta as u32), Some(gamma as u32));
            prop_assert_eq!(aggregate_byzantine(&rule, c, &rows), by_definition(&rows, c, theta, gamma));
        }

        #[test]
        fn the_order_of_devices_changes_no_bit(
            // c = 3 leaves two neighbours to the last choice, so that no two updates tie by construction.
            (rows, shuffled) in vec(vec(-1e6..1e6_f32, 3), 15..20).prop_flat_map(|rows| {
                (Just(rows.clone()), Just(rows).prop_shuffle())
            }),
        ) {
            let aggregate = |rows| aggregate_byzantine(&bulyan(None, None), 3, rows);
            prop_assert_eq!(aggregate(&rows), aggregate(&shuffled));
        }

        #[test]
        fn byzantine_updates_cannot_push_a_coordinate_farther_than_the_benign_spread(
            benign in matrix(12..16),
            byzantine in vec(any::<f32>().prop_filter("finite", |value| value.is_finite()), 3),
        ) {
            let attackers = byzantine.iter().map(|&value| vec![value; benign[0].len()]);
            let rows: Vec<Vec<f32>> = attackers.chain(benign.iter().cloned()).collect();
            for (j, value) in aggregate_byzantine(&bulyan(None, None), 3, &rows).into_iter().enumerate() {
                let column = || benign.iter().map(|row| row[j]);
                let (min, max) = (column().reduce(f32::min).unwrap(), column().reduce(f32::max).unwrap());
                let spread = max - min;
                prop_assert!((min - spread..=max + spread).contains(&value), "{value}");
            }
        }
    }
}
