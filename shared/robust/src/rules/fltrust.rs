//! FLTrust: updates count by their angle with one that the aggregator has trained itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_positive;
use crate::{Byzantine, Combination, Plan, Round, Rule, RuleError};

/// A mean in which updates count by the cosine of their angle with one that the aggregator trains on examples of its own, all as
/// long as that one (FLTrust; Cao et al. 2021).
///
/// An update that points away from the aggregator's own does not count. If none counts, the aggregate is that own one. The
/// number of examples is ignored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct FlTrust {
    /// How many training examples the aggregator has, which no device gets.
    pub root_examples: u32,
}

impl Default for FlTrust {
    fn default() -> Self {
        FlTrust { root_examples: 100 }
    }
}

impl Rule for FlTrust {
    fn check(&self, devices: usize, _: Byzantine) -> Result<(), RuleError> {
        is_positive("fltrust", "root-examples", f64::from(self.root_examples))?;
        if devices == 0 { Err(RuleError::NoUpdates) } else { Ok(()) }
    }

    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let needs = "an update that the aggregator has trained itself";
        let root = round.root().ok_or(RuleError::Unknown { rule: "fltrust", needs })?;
        let devices = round.devices();
        let gram = round.gram(&[root])?;
        let trust: Vec<f64> = (0..devices).map(|row| gram.cosine(row, devices).max(0.0)).collect();
        let total: f64 = trust.iter().sum();
        if total <= 0.0 {
            return Ok(Plan::Combination(Combination {
                weights: vec![0.0; devices],
                others: vec![(root.clone(), 1.0)],
            }));
        }
        let weight = |(row, trust): (usize, f64)| match trust {
            // Of no length, perhaps.
            0.0 => 0.0,
            _ => trust / total * gram.norm(devices) / gram.norm(row),
        };
        Ok(Plan::Combination(Combination::of(trust.into_iter().enumerate().map(weight).collect())))
    }

    fn root_examples(&self) -> usize {
        self.root_examples as usize
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::properties::matrix;
    use crate::{Context, Executor as _, InContext, Processors, Updates};
    use proptest::prelude::*;

    fn aggregate(rows: &[Vec<f32>], origin: &[f32], root: &Arc<[f32]>) -> Vec<f32> {
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let updates = Updates::new(&rows, None).unwrap().from_origin(origin).unwrap();
        let context = Context { root: Some(root), ..Context::default() };
        let rule = InContext { rule: &FlTrust::default(), context };
        Processors.aggregate(&rule, &updates, Byzantine::of(1)).unwrap().values
    }

    #[test]
    fn updates_count_by_their_angle_and_are_as_long_as_the_own_one() {
        let root = Arc::from([2.0, 0.0]);
        // Updates [5, 0], [0, 3], [-9, 0] and [1, 1]: cosines 1, 0, -1 and 0.7071.
        let rows = [[6.0, 1.0], [1.0, 4.0], [-8.0, 1.0], [2.0, 2.0]].map(Vec::from);
        let sent = aggregate(&rows, &[1.0, 1.0], &root);
        let half = 0.5_f32.sqrt();
        let expected = [(2.0 + half * 2.0 * half) / (1.0 + half), half * 2.0 * half / (1.0 + half)];
        assert!(
            (sent[0] - 1.0 - expected[0]).abs() < 1e-6 && (sent[1] - 1.0 - expected[1]).abs() < 1e-6,
            "{sent:?}"
        );
    }

    #[test]
    fn where_nobody_is_trusted_the_own_update_is_taken() {
        let root = Arc::from([2.0, 0.0]);
        assert_eq!(aggregate(&[vec![-1.0, 0.0], vec![1.0, 1.0]], &[1.0, 1.0], &root), [3.0, 1.0]);
    }

    #[test]
    fn without_an_own_update_it_says_what_it_needs() {
        let rows: [&[f32]; 1] = [&[1.0]];
        let updates = Updates::new(&rows, None).unwrap();
        let refused =
            Processors.aggregate(&FlTrust::default(), &updates, Byzantine::of(0)).unwrap_err().to_string();
        assert!(
            refused.contains("fltrust needs an update that the aggregator has trained itself"),
            "{refused}"
        );
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(rows in matrix(3..9)) {
            let (root, rows) = rows.split_first().unwrap();
            prop_assume!(root.iter().any(|value| *value != 0.0));
            let (origin, root) = (vec![1.0; root.len()], Arc::<[f32]>::from(&root[..]));
            let length = |v: &[f64]| v.iter().map(|value| value * value).sum::<f64>().sqrt();
            let own: Vec<f64> = root.iter().map(|value| f64::from(*value)).collect();
            let (mut sum, mut total) = (vec![0.0; own.len()], 0.0);
            for row in rows {
                let update: Vec<f64> = row.iter().map(|value| f64::from(*value) - 1.0).collect();
                let product: f64 = update.iter().zip(&own).map(|(a, b)| a * b).sum();
                if length(&update) > 0.0 && product > 0.0 {
                    let trust = product / length(&update) / length(&own);
                    total += trust;
                    let scale = trust * length(&own) / length(&update);
                    sum.iter_mut().zip(&update).for_each(|(sum, value)| *sum += scale * value);
                }
            }
            let expected = if total > 0.0 { sum.iter().map(|sum| sum / total).collect() } else { own.clone() };
            for (value, expected) in aggregate(rows, &origin, &root).into_iter().zip(expected) {
                prop_assert!((f64::from(value) - 1.0 - expected).abs() <= 1e-3, "{value} {expected}");
            }
        }
    }
}
