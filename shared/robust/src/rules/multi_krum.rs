//! Multi-Krum: the mean of the updates that have the nearest neighbours.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mean_of;
use crate::{Byzantine, Distance, Krum, Plan, Round, Rule, RuleError};

/// The mean of the updates of least score, which is that of the rule `krum` (Blanchard et al. 2017).
///
/// By default the mean is of m - c updates, as many as are not assumed to be Byzantine; of one, it is Krum. Needs
/// c < (m - 2) / 2. Ties go to the lowest index. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MultiKrum {
    /// Updates that the mean is taken of; by default m - `byzantine` of the m updates of the round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<u32>,
    /// What is summed for a score.
    #[serde(skip_serializing_if = "Distance::is_default")]
    pub distance: Distance,
}

impl MultiKrum {
    fn selects(&self, devices: usize, byzantine: Byzantine) -> usize {
        self.select.map_or(devices.saturating_sub(byzantine.left()), |select| select as usize)
    }
}

impl Rule for MultiKrum {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        let refused = |condition, parameter, value| {
            Err(RuleError::Condition { rule: "multi-krum", condition, parameter, value, devices })
        };
        if Krum::default().check(devices, byzantine).is_err() {
            return refused("byzantine < (devices - 2) / 2", "byzantine", byzantine.left());
        }
        match self.selects(devices, byzantine) {
            select if (1..=devices).contains(&select) => Ok(()),
            select => refused("1 <= select <= devices", "select", select),
        }
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let (devices, byzantine) = (round.devices(), round.byzantine());
        let neighbours = devices - byzantine.left() - 2;
        let scores = self.distance.sums(round, neighbours)?;
        let mut order: Vec<usize> = (0..devices).collect();
        // Stable: of equals the first stays ahead.
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        Ok(mean_of(&order[..self.selects(devices, byzantine)], devices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate_byzantine, column, matrix, select};
    use proptest::prelude::*;

    fn check(select: Option<u32>, byzantine: usize, devices: usize) -> Result<(), String> {
        MultiKrum { select, ..MultiKrum::default() }
            .check(devices, Byzantine::of(byzantine))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_mean_is_that_of_the_updates_of_least_score() {
        // c = 1, so 2 neighbours count. Scores of 0 1 2 4 90: 3, 2, 3, 5, 174. Four are taken.
        let rows = column(&[0.0, 1.0, 2.0, 4.0, 90.0]);
        assert_eq!(aggregate_byzantine(&MultiKrum::default(), 1, &rows), [1.75]);
        assert_eq!(
            aggregate_byzantine(&MultiKrum { select: Some(2), ..MultiKrum::default() }, 1, &rows),
            [0.5],
            "the first of equals"
        );
    }

    #[test]
    fn conditions_are_exact_at_their_boundaries() {
        assert_eq!(check(None, 1, 5), Ok(()));
        assert_eq!(check(Some(5), 1, 5), Ok(()));
        assert!(
            check(None, 1, 4).unwrap_err().starts_with("multi-krum needs byzantine < (devices - 2) / 2, but")
        );
        for select in [0, 6] {
            assert!(
                check(Some(select), 1, 5).unwrap_err().contains("needs 1 <= select <= devices"),
                "{select}"
            );
        }
        assert!(check(None, usize::MAX, 100).is_err());
    }

    /// The definition, word by word. Distances of whole numbers are exact up to the square root.
    fn by_definition(rows: &[Vec<f32>], c: usize, q: usize) -> Vec<f32> {
        let score = |i: usize| {
            let squares =
                |other: &Vec<f32>| rows[i].iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            let others = (0..rows.len()).filter(|j| *j != i);
            let mut distances: Vec<f64> = others.map(|j| f64::from(squares(&rows[j])).sqrt()).collect();
            distances.sort_by(f64::total_cmp);
            distances[..rows.len() - c - 2].iter().sum::<f64>()
        };
        let mut order: Vec<usize> = (0..rows.len()).collect();
        // Stable: of equals the first stays ahead.
        order.sort_by(|i, j| score(*i).total_cmp(&score(*j)));
        let mean = |column: usize| {
            order[..q].iter().map(|row| f64::from(rows[*row][column])).sum::<f64>() / q as f64
        };
        (0..rows[0].len()).map(|column| mean(column) as f32).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(3..12), c in 0..5_usize, q in prop::option::of(1..12_usize)) {
            let c = c.min((rows.len() - 3) / 2);
            let q = q.map(|q| q.min(rows.len()));
            let rule = MultiKrum { select: q.map(|q| q as u32), ..MultiKrum::default() };
            let expected = by_definition(&rows, c, q.unwrap_or(rows.len() - c));
            prop_assert_eq!(aggregate_byzantine(&rule, c, &rows), expected);
        }

        #[test]
        fn of_one_it_is_krum(rows in matrix(3..12), c in 0..5_usize) {
            let c = c.min((rows.len() - 3) / 2);
            let one = MultiKrum { select: Some(1), ..MultiKrum::default() };
            prop_assert_eq!(aggregate_byzantine(&one, c, &rows), rows[select(c, &rows)].clone());
        }
    }
}
