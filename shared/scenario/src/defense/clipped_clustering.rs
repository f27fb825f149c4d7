//! Clipped clustering: the larger of two clusters by angle.

use robust::{Byzantine, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clusters::larger_by_average_linkage;
use super::lengths::{clipped, median};
use super::{DefenseError, Gate, Passed, Stage};

/// What is kept: the lengths of all updates so far.
const NORMS: &str = "norms";

/// Cuts updates to the median length of all so far, and keeps the larger of two clusters by their angles (Li et al. 2023).
///
/// Clusters are joined by average linkage of cosine distances; of two that are as large, the one with the lowest device is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClippedClustering {}

impl Stage for ClippedClustering {
    fn leaves(&self, devices: usize, _: Byzantine) -> usize {
        devices.div_ceil(2)
    }

    fn pass(&self, gate: &Gate<'_>, state: &mut State) -> Result<Passed, DefenseError> {
        let (gram, devices) = (gate.updates.gram(&[])?, gate.devices.len());
        let norms = gram.norms();
        let mut so_far = state.get(NORMS).unwrap_or_default().to_vec();
        so_far.extend(norms.iter().map(|norm| *norm as f32));
        let limit = median(&so_far.iter().map(|norm| f64::from(*norm)).collect::<Vec<_>>());
        state.set(NORMS, so_far);
        let kept = larger_by_average_linkage(devices, |a, b| 1.0 - gram.cosine(a, b));
        Ok(clipped(&kept, &norms, limit, None))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Passing;
    use super::*;

    #[test]
    fn the_larger_cluster_by_angle_is_kept_and_cut_to_the_median_length_so_far() {
        let passing = Passing::of(&[[4.0, 0.0], [0.0, -1.0], [2.0, 0.0], [1.0, 0.0], [0.0, -9.0]]);
        let mut state = State::default();
        let passed = passing.by_keeping(&ClippedClustering {}, &mut state);
        assert_eq!(
            (passed.models, passed.removed),
            (vec![vec![2.0, 0.0], vec![2.0, 0.0], vec![1.0, 0.0]], vec![1, 4])
        );
        // Lengths so far: 1 1 2 4 9, and now 0.5 five times.
        let passed = Passing::of(&[[0.5, 0.0]; 5]).by_keeping(&ClippedClustering {}, &mut state);
        assert_eq!((passed.models.len(), state.get(NORMS).map(<[f32]>::len)), (4, Some(10)));
    }
}
