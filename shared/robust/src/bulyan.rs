//! Bulyan: Krum picks a majority of plausible updates, and each coordinate is then averaged near its median.

use rayon::prelude::*;

use super::near_median::mean_near_median;
use super::near_medians::means_near_medians;
use super::selection::{Neighbours, Selection};
use super::{Distances, Rule, RuleError, Updates};

/// Selects θ updates by Krum, one after the other, and outputs per coordinate the mean of the γ selected values
/// nearest the median of the selection (paper, section 2.2; El Mhamdi et al., ICML 2018).
///
/// - Selection: the winner of Krum among those left is moved to the selection, θ times. While m' are left, the
///   m' - c - 2 nearest others of those left count, and always at least one: the last choices would else be no
///   choices. Ties go to the lowest index; where a single neighbour counts, two that are each other's nearest always
///   tie.
/// - Mean: the median of an even number of values is the mean of the two middle ones; of two values equally far from
///   it, the lower is kept. Sums are taken in `f64`.
///
/// Needs c <= (m - 3) / 4, θ <= m - 2c, γ <= θ - 2c and γ >= 1. Weights are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulyan {
    /// Number of Byzantine devices to withstand (the paper's c).
    pub byzantine: usize,
    /// Number of updates selected (the paper's θ); m - 2c, whatever m is in the round, if `None`.
    pub theta: Option<usize>,
    /// Number of values averaged (the paper's γ); θ - 2c if `None`.
    pub gamma: Option<usize>,
}

/// θ and γ for some number of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    theta: usize,
    gamma: usize,
}

impl Bulyan {
    /// Rows that are selected, in the order of their selection.
    ///
    /// # Errors
    /// [`RuleError::Bulyan`] if a condition does not hold for that many devices.
    pub fn select(&self, distances: &Distances) -> Result<Vec<usize>, RuleError> {
        let devices = distances.devices();
        let neighbours = Neighbours::of(distances, self.neighbours(devices));
        self.select_from(Selection::new(&neighbours), devices)
    }

    /// For each row [`Bulyan::select`] among all others, in ascending order of row. The distances are sorted once.
    ///
    /// # Errors
    /// As [`Bulyan::select`] among one row less.
    pub fn select_without_each(&self, distances: &Distances) -> Result<Vec<Vec<usize>>, RuleError> {
        let devices = distances.devices();
        self.sizes(devices.saturating_sub(1))?;
        let neighbours = Neighbours::of(distances, self.neighbours(devices));
        let select = |left_out: usize| {
            let mut left = Selection::new(&neighbours);
            left.take(left_out);
            let mut selection = self.select_from(left, devices - 1)?;
            selection.sort_unstable();
            Ok(selection)
        };
        (0..devices).into_par_iter().map(select).collect()
    }

    /// γ, the number of values to average of each column, for `devices` devices.
    ///
    /// # Errors
    /// [`RuleError::Bulyan`] if a condition does not hold for that many devices.
    pub fn averaged(&self, devices: usize) -> Result<usize, RuleError> {
        self.sizes(devices).map(|sizes| sizes.gamma)
    }

    /// Selects from `devices` rows.
    fn select_from(self, mut left: Selection<'_>, devices: usize) -> Result<Vec<usize>, RuleError> {
        let theta = self.sizes(devices)?.theta;
        (0..theta).map(|selected| left.take_least(self.neighbours(devices - selected))).collect()
    }

    /// How many others count while so many rows are left.
    fn neighbours(self, left: usize) -> usize {
        left.saturating_sub(self.byzantine.saturating_add(2)).max(1)
    }

    /// θ and γ for `devices` devices, once all conditions hold.
    fn sizes(&self, devices: usize) -> Result<Sizes, RuleError> {
        let byzantine = self.byzantine;
        let theta = self.theta.unwrap_or(devices.saturating_sub(byzantine.saturating_mul(2)));
        let gamma = self.gamma.unwrap_or(theta.saturating_sub(byzantine.saturating_mul(2)));
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
    fn name(&self) -> &'static str {
        "bulyan"
    }

    fn check(&self, devices: usize) -> Result<(), RuleError> {
        self.sizes(devices).map(|_| ())
    }

    fn aggregate(&self, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
        let count = self.averaged(updates.len())?;
        mean_near_median(updates, &self.select(&Distances::of(updates))?, count)
    }

    /// The distances are computed once, and columns are sorted once for all selections that are the same rows without one.
    fn leave_one_out(&self, updates: &Updates<'_>, aggregates: &mut Vec<Vec<f32>>) -> Result<(), RuleError> {
        let count = self.averaged(updates.len().saturating_sub(1))?;
        let selections = self.select_without_each(&Distances::of(updates))?;
        means_near_medians(updates, &selections, count, aggregates);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, column, distances, matrix};
    use proptest::collection::vec;
    use proptest::prelude::*;

    const SEVEN: [f32; 7] = [90.0, 0.0, 1.0, 2.0, 3.0, 4.0, 7.0];

    fn bulyan(byzantine: usize) -> Bulyan {
        Bulyan { byzantine, theta: None, gamma: None }
    }

    #[test]
    fn the_winner_of_krum_among_those_left_is_moved_to_the_selection_theta_times() {
        // c = 1, so θ = 5 and γ = 3. Of all, 4 neighbours count: 2 scores 1 + 1 + 2 + 2.
        // Of 90 0 1 3 4 7, 3 count: 1 and 3 both score 1 + 2 + 3, and 1 comes first.
        // Of 90 0 3 4 7, 2 count: 3 and 4 both score 1 + 3, and 3 comes first.
        // Of 90 0 4 7, 1 counts: 4 and 7 both score 3, and 4 comes first.
        // Of 90 0 7, still 1 counts and not 0, or 90 would come first: 0 and 7 both score 7.
        assert_eq!(bulyan(1).select(&distances(&column(&SEVEN))).unwrap(), [3, 2, 4, 5, 1]);
        // Of the selected 2 1 3 4 0, the three nearest the median 2 are 1 2 3.
        assert_eq!(aggregate(&bulyan(1), &column(&SEVEN)), [2.0]);
    }

    #[test]
    fn theta_and_gamma_may_be_smaller_than_their_defaults() {
        let rows = column(&SEVEN);
        let theta = Bulyan { theta: Some(3), ..bulyan(1) };
        assert_eq!(theta.select(&distances(&rows)).unwrap(), [3, 2, 4]);
        assert_eq!(aggregate(&theta, &rows), [2.0]);
        assert_eq!(aggregate(&Bulyan { gamma: Some(2), ..bulyan(1) }, &rows), [1.5]);
    }

    #[test]
    fn conditions_are_exact_at_their_boundaries() {
        let sizes = |theta, gamma| Bulyan { byzantine: 20, theta, gamma }.sizes(100);
        assert_eq!(sizes(None, None), Ok(Sizes { theta: 60, gamma: 20 }));
        assert_eq!(sizes(Some(41), None), Ok(Sizes { theta: 41, gamma: 1 }));
        assert_eq!(bulyan(1).check(7), Ok(()));
        assert_eq!(bulyan(0).check(3), Ok(()));
        let refused = |rule: Bulyan, devices| rule.check(devices).unwrap_err().to_string();
        assert_eq!(
            refused(bulyan(1), 6),
            "bulyan needs byzantine <= (devices - 3) / 4, but byzantine = 1, devices = 6, theta = 4 and \
             gamma = 2: change aggregation.byzantine, theta or gamma, or the number of devices"
        );
        let twenty = |theta, gamma| refused(Bulyan { byzantine: 20, theta, gamma }, 100);
        assert!(twenty(Some(61), None).contains("needs theta <= devices - 2 byzantine"));
        assert!(twenty(None, Some(21)).contains("needs gamma <= theta - 2 byzantine"));
        assert!(twenty(Some(40), None).contains("needs gamma >= 1"));
        assert!(twenty(None, Some(0)).contains("needs gamma >= 1"));
        for rule in [bulyan(usize::MAX), Bulyan { theta: Some(usize::MAX), ..bulyan(1) }] {
            assert!(rule.check(100).is_err());
        }
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic() {
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 1.0, 2.0, 3.0];
        assert_eq!(aggregate(&bulyan(1), &column(&odd)).len(), 1);
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
            let rule = Bulyan { byzantine: c, theta: Some(theta), gamma: Some(gamma) };
            prop_assert_eq!(aggregate(&rule, &rows), by_definition(&rows, c, theta, gamma));
        }

        #[test]
        fn the_order_of_devices_changes_no_bit(
            // c = 3 leaves two neighbours to the last choice, so that no two updates tie by construction.
            (rows, shuffled) in vec(vec(-1e6..1e6_f32, 3), 15..20).prop_flat_map(|rows| {
                (Just(rows.clone()), Just(rows).prop_shuffle())
            }),
        ) {
            prop_assert_eq!(aggregate(&bulyan(3), &rows), aggregate(&bulyan(3), &shuffled));
        }

        #[test]
        fn byzantine_updates_cannot_push_a_coordinate_farther_than_the_benign_spread(
            benign in matrix(12..16),
            byzantine in vec(any::<f32>().prop_filter("finite", |value| value.is_finite()), 3),
        ) {
            let attackers = byzantine.iter().map(|&value| vec![value; benign[0].len()]);
            let rows: Vec<Vec<f32>> = attackers.chain(benign.iter().cloned()).collect();
            for (j, value) in aggregate(&bulyan(3), &rows).into_iter().enumerate() {
                let column = || benign.iter().map(|row| row[j]);
                let (min, max) = (column().reduce(f32::min).unwrap(), column().reduce(f32::max).unwrap());
                let spread = max - min;
                prop_assert!((min - spread..=max + spread).contains(&value), "{value}");
            }
        }
    }
}
