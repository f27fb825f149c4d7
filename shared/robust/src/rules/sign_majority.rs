//! The robust learning rate: the mean, turned around where too few updates agree.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Byzantine, Plan, Round, Rule, RuleError, Statistic};

/// The mean update, of each coordinate with its sign turned unless enough updates agree on it (robust learning rate; Ozdayi et
/// al. 2021).
///
/// Updates agree where at least `threshold` more go up than down, or down than up; those that stay count for neither. Needs
/// `threshold` <= m. The number of examples is ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SignMajority {
    /// How many more must go one way than the other (the paper's theta); one more than `byzantine` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
}

impl SignMajority {
    fn threshold(&self, byzantine: Byzantine) -> usize {
        self.threshold.map_or(byzantine.assumed + 1, |threshold| threshold as usize)
    }
}

impl Rule for SignMajority {
    fn resolve(&mut self, byzantine: usize) {
        self.threshold.get_or_insert(byzantine as u32 + 1);
    }

    fn check(&self, devices: usize, byzantine: Byzantine) -> Result<(), RuleError> {
        if devices == 0 {
            return Err(RuleError::NoUpdates);
        }
        let threshold = self.threshold(byzantine);
        if threshold <= devices {
            return Ok(());
        }
        let (rule, condition, parameter) = ("sign-majority", "threshold <= devices", "threshold");
        Err(RuleError::Condition { rule, condition, parameter, value: threshold, devices })
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let statistic = Statistic::MeanByMajority { threshold: self.threshold(round.byzantine()) };
        Ok(Plan::Columns { statistic, rows: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, matrix};
    use crate::{Executor as _, Processors, Updates};
    use proptest::prelude::*;

    fn of(threshold: u32) -> SignMajority {
        SignMajority { threshold: Some(threshold) }
    }

    #[test]
    fn where_too_few_agree_the_mean_is_turned() {
        // Majorities of 3, 1 and 0.
        let rows = [vec![1.0, 1.0, 0.0], vec![2.0, 3.0, 4.0], vec![3.0, -1.0, -1.0]];
        assert_eq!(aggregate(&of(3), &rows), [2.0, -1.0, -1.0]);
        assert_eq!(aggregate(&of(1), &rows), [2.0, 1.0, -1.0]);
        assert_eq!(aggregate(&of(0), &rows), [2.0, 1.0, 1.0]);
    }

    #[test]
    fn signs_are_those_of_updates_and_not_of_models() {
        let rows: [&[f32]; 2] = [&[12.0], &[16.0]];
        let updates = Updates::new(&rows, None).unwrap().from_origin(&[15.0]).unwrap();
        assert_eq!(Processors.aggregate(&of(0), &updates, Byzantine::of(0)).unwrap().values, [14.0]);
        assert_eq!(Processors.aggregate(&of(1), &updates, Byzantine::of(0)).unwrap().values, [16.0]);
    }

    #[test]
    fn one_more_than_the_byzantine_must_agree_and_there_must_be_as_many() {
        let mut rule = SignMajority::default();
        rule.resolve(4);
        assert_eq!(rule.threshold, Some(5));
        assert_eq!(rule.check(5, Byzantine::of(4)), Ok(()));
        assert!(rule.check(4, Byzantine::of(4)).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(1..12), threshold in 0..12_u32) {
            let threshold = threshold.min(rows.len() as u32);
            let expected = |j: usize| {
                let mean = rows.iter().map(|row| f64::from(row[j])).sum::<f64>() / rows.len() as f64;
                let signs: f64 = rows.iter().filter(|row| row[j] != 0.0).map(|row| f64::from(row[j].signum())).sum();
                (if signs.abs() >= f64::from(threshold) { mean } else { -mean }) as f32
            };
            let expected: Vec<f32> = (0..rows[0].len()).map(expected).collect();
            prop_assert_eq!(aggregate(&of(threshold), &rows), expected);
        }
    }
}
