//! The mean: what federated learning uses where nobody is assumed Byzantine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Plan, Round, Rule, RuleError};

/// The coordinate-wise mean, by default weighted by examples (`FedAvg`). One Byzantine device can move it anywhere
/// (Fang et al. 2020, section 2.2).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Mean {
    /// Whether a device counts by its examples (`FedAvg`) and not once.
    pub weighted: bool,
}

impl Default for Mean {
    fn default() -> Self {
        Mean { weighted: true }
    }
}

impl Rule for Mean {
    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        Ok(Plan::Mean { weights: if self.weighted { round.examples() } else { None } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Byzantine, Executor as _, Processors, Updates};

    const ROWS: [&[f32]; 3] = [&[1.0, -3.0], &[2.0, 0.0], &[6.0, 9.0]];

    fn mean(rows: &[&[f32]], weights: Option<&[f64]>) -> Vec<f32> {
        let updates = Updates::new(rows, weights).unwrap();
        Processors.aggregate(&Mean::default(), &updates, Byzantine::default()).unwrap().values
    }

    #[test]
    fn without_weights_every_device_counts_the_same() {
        assert_eq!(mean(&ROWS, None), [3.0, 2.0]);
    }

    #[test]
    fn with_weights_a_device_counts_by_its_examples() {
        assert_eq!(mean(&ROWS, Some(&[100.0, 100.0, 200.0])), [3.75, 3.75]);
        assert_eq!(mean(&ROWS, Some(&[0.0, 7.0, 0.0])), ROWS[1]);
    }

    #[test]
    fn equal_weights_change_no_bit() {
        let rows: [&[f32]; 3] = [&[0.1, 1e-20], &[0.7, 3e10], &[-0.3, 0.5]];
        assert_eq!(mean(&rows, Some(&[601.0; 3])), mean(&rows, None));
    }

    #[test]
    fn the_largest_values_and_weights_do_not_overflow() {
        let rows: [&[f32]; 2] = [&[f32::MAX], &[f32::MAX]];
        assert_eq!(mean(&rows, Some(&[f64::MAX, f64::MAX])), [f32::MAX]);
    }

    #[test]
    fn a_small_value_is_not_lost_beside_large_ones_that_cancel() {
        assert_eq!(mean(&[&[1e8], &[3.0], &[-1e8]], None), [1.0]);
    }

    #[test]
    fn no_devices_are_refused() {
        assert_eq!(Mean::default().check(0, Byzantine::default()), Err(RuleError::NoUpdates));
        assert_eq!(Mean::default().check(1, Byzantine::default()), Ok(()));
    }
}
