//! Krum: trust the update that has the nearest neighbours.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::selection::least;
use crate::{Byzantine, Plan, Round, Rule, RuleError};

/// The update whose m - c - 2 nearest others are least far away in sum (Blanchard et al. 2017).
///
/// Needs c < (m - 2) / 2. Ties go to the lowest index. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Krum {
    /// What is summed.
    #[serde(skip_serializing_if = "Distance::is_default")]
    pub distance: Distance,
}

/// What Krum sums of each distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// The distance itself, as in Fang et al. (2020, section 2.2).
    #[default]
    Euclidean,
    /// Its square, as in Blanchard et al. (2017).
    Squared,
}

impl Distance {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
    pub(super) fn is_default(&self) -> bool {
        *self == Distance::default()
    }

    /// For each update, the sum over its `count` nearest.
    pub(super) fn sums(self, round: &Round<'_>, count: usize) -> Result<Vec<f64>, RuleError> {
        match self {
            Distance::Euclidean => round.sums_to_nearest(count),
            Distance::Squared => round.squares_to_nearest(count),
        }
    }
}

impl Rule for Krum {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        let byzantine = byzantine.left();
        if byzantine.saturating_mul(2).saturating_add(2) < devices {
            return Ok(());
        }
        Err(RuleError::Condition {
            rule: "krum",
            condition: "byzantine < (devices - 2) / 2",
            parameter: "byzantine",
            value: byzantine,
            devices,
        })
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let neighbours = round.devices() - round.byzantine().left() - 2;
        let scores = self.distance.sums(round, neighbours)?;
        Ok(Plan::Row(least(scores.into_iter().enumerate())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate_byzantine, column, matrix, select};
    use crate::{Executor as _, Processors, Updates};
    use proptest::prelude::*;

    /// Selects among updates of one value each.
    fn select_scalar(byzantine: usize, values: &[f32]) -> usize {
        select(byzantine, &column(values))
    }

    fn check(byzantine: usize, devices: usize) -> Result<(), RuleError> {
        Krum::default().check(devices, Byzantine::of(byzantine))
    }

    #[test]
    fn distances_are_summed_not_their_squares() {
        // m - c - 2 = 2. The first scores 0 + 3 = 3 and the fourth 2 + 2 = 4; squared it would be 9 and 8.
        assert_eq!(select_scalar(1, &[0.0, 0.0, 3.0, 5.0, 7.0]), 0);
    }

    #[test]
    fn squares_are_summed_where_the_scenario_says_so() {
        let rows = column(&[0.0, 0.0, 3.0, 5.0, 7.0]);
        assert_eq!(aggregate_byzantine(&Krum { distance: Distance::Squared }, 1, &rows), [5.0]);
        assert_eq!(aggregate_byzantine(&Krum::default(), 1, &rows), [0.0]);
    }

    #[test]
    fn m_minus_c_minus_2_neighbours_count() {
        // Of 3 neighbours, 7 and 6 score 4 alike; of 4 neighbours, 7 would score 11 and 6 only 10.
        assert_eq!(select_scalar(1, &[7.0, 0.0, 5.0, 6.0, 8.0, 100.0]), 0);
        assert_eq!(select_scalar(0, &[7.0, 0.0, 5.0, 6.0, 8.0, 100.0]), 3);
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        assert_eq!(select_scalar(1, &[9.0, 1.0, 1.0, 1.0, -9.0]), 1);
        assert_eq!(select_scalar(0, &[4.0; 3]), 0);
    }

    #[test]
    fn the_output_is_the_selected_row_itself() {
        let rows = [vec![9.0, 9.0], vec![0.5, 0.25], vec![0.5, 0.5]];
        assert_eq!(aggregate_byzantine(&Krum::default(), 0, &rows), rows[1]);
    }

    #[test]
    fn the_condition_is_exact_at_its_boundary() {
        assert_eq!(check(1, 5), Ok(()));
        assert_eq!(check(0, 3), Ok(()));
        assert_eq!(check(48, 100), Ok(()));
        for (byzantine, devices) in [(1, 4), (0, 2), (49, 100), (0, 0), (usize::MAX, 100)] {
            assert!(check(byzantine, devices).is_err(), "{byzantine} of {devices}");
        }
        let rows: [&[f32]; 4] = [&[1.0]; 4];
        let updates = Updates::new(&rows, None).unwrap();
        let refused = Processors.aggregate(&Krum::default(), &updates, Byzantine::of(1));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "krum needs byzantine < (devices - 2) / 2, but byzantine = 1 and devices = 4: \
             raise the number of devices or lower aggregation.byzantine"
        );
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic() {
        let rows = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 1.0].map(|value| vec![value]);
        assert!(select(1, &rows) < rows.len());
    }

    /// The definition, word by word. Distances of whole numbers are exact up to the square root.
    fn by_definition(rows: &[Vec<f32>], byzantine: usize) -> usize {
        let score = |i: usize| {
            let distance =
                |other: &Vec<f32>| rows[i].iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            let mut left: Vec<usize> = (0..rows.len()).filter(|&j| j != i).collect();
            let mut score = 0.0;
            for _ in 0..rows.len() - byzantine - 2 {
                let mut nearest = 0;
                for k in 1..left.len() {
                    if distance(&rows[left[k]]) < distance(&rows[left[nearest]]) {
                        nearest = k;
                    }
                }
                score += f64::from(distance(&rows[left.swap_remove(nearest)])).sqrt();
            }
            score
        };
        let mut best = 0;
        for i in 1..rows.len() {
            if score(i) < score(best) {
                best = i;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(3..12), byzantine in 0..5_usize) {
            let byzantine = byzantine.min((rows.len() - 3) / 2);
            prop_assert_eq!(select(byzantine, &rows), by_definition(&rows, byzantine));
        }
    }
}
