//! Comparative gradient elimination: the mean without the longest updates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{at_most_half, mean_of};
use crate::{Byzantine, Plan, Round, Rule, RuleError};

/// The mean of the m - c shortest updates (comparative gradient elimination; Gupta, Liu and Vaidya 2020).
///
/// Of updates of equal length, the later ones count as longer. Needs c < m / 2. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cge {}

impl Rule for Cge {
    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        at_most_half("cge", devices, byzantine)
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let gram = round.gram(&[])?;
        let mut order: Vec<usize> = (0..round.devices()).collect();
        // Stable: of equals the first stays shorter.
        order.sort_by(|a, b| gram.product(*a, *a).total_cmp(&gram.product(*b, *b)));
        order.truncate(round.devices() - round.byzantine().left());
        Ok(mean_of(&order, round.devices()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate_byzantine, column, matrix};
    use crate::{Executor as _, Processors, Updates};
    use proptest::prelude::*;

    #[test]
    fn the_longest_are_left_out_and_of_equals_the_later_ones() {
        let rows = column(&[3.0, -1.0, 2.0, -3.0, 1e30]);
        assert_eq!(aggregate_byzantine(&Cge {}, 1, &rows), [0.25]);
        assert_eq!(aggregate_byzantine(&Cge {}, 2, &rows), [4.0 / 3.0]);
    }

    #[test]
    fn lengths_are_those_of_updates_and_not_of_models() {
        let rows: [&[f32]; 3] = [&[10.0], &[13.0], &[0.0]];
        let updates = Updates::new(&rows, None).unwrap().from_origin(&[10.0]).unwrap();
        assert_eq!(Processors.aggregate(&Cge {}, &updates, Byzantine::of(1)).unwrap().values, [11.5]);
    }

    #[test]
    fn the_condition_is_exact_at_its_boundary() {
        assert_eq!(Cge {}.check(5, Byzantine::of(2)), Ok(()));
        assert!(Cge {}.check(4, Byzantine::of(2)).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(1..12), c in 0..6_usize) {
            let c = c.min((rows.len() - 1) / 2);
            let square = |row: &Vec<f32>| row.iter().map(|value| f64::from(value * value)).sum::<f64>();
            let mut shortest: Vec<&Vec<f32>> = rows.iter().collect();
            shortest.sort_by(|a, b| square(a).total_cmp(&square(b)));
            shortest.truncate(rows.len() - c);
            let mean = |j: usize| shortest.iter().map(|row| f64::from(row[j])).sum::<f64>() / shortest.len() as f64;
            let expected: Vec<f32> = (0..rows[0].len()).map(|j| mean(j) as f32).collect();
            prop_assert_eq!(aggregate_byzantine(&Cge {}, c, &rows), expected);
        }
    }
}
