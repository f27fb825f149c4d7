//! Adaptive clipping: the longest updates are cut to the length of the next.

use std::collections::BTreeSet;

use robust::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lengths::{scaled, shares};
use super::{DefenseError, Gate, Passed, Stage};

/// Cuts the 2 (c / m) (m - c) longest of m updates, rounded down, to the length of the next longest (ARC; Allouah et al. 2024).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveClipping {}

impl Stage for AdaptiveClipping {
    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let (devices, byzantine) =
            (gate.devices.len(), gate.updates.byzantine().left().min(gate.devices.len()));
        let longest = 2 * byzantine * (devices - byzantine) / devices;
        if longest == 0 {
            return Ok(Passed::AllBut(BTreeSet::new()));
        }
        let gram = gate.updates.gram(&[])?;
        let norms = gram.norms();
        let mut descending = norms.clone();
        descending.sort_by(|a, b| b.total_cmp(a));
        let limit = descending[longest];
        Ok(scaled(&shares(&norms, limit), None))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Passing;
    use super::*;

    #[test]
    fn the_longest_are_cut_to_the_length_of_the_next() {
        // 2 (1 / 4) 3 = 1.5: one is cut.
        let passing = Passing::of(&[[1.0], [-2.0], [9.0], [-8.0]]);
        assert_eq!(passing.assuming(1).by(&AdaptiveClipping {}).models, [[1.0], [-2.0], [8.0], [-8.0]]);
        // 2 (2 / 4) 2 = 2.
        assert_eq!(passing.assuming(2).by(&AdaptiveClipping {}).models, [[1.0], [-2.0], [2.0], [-2.0]]);
        assert_eq!(passing.assuming(0).by(&AdaptiveClipping {}).models, [[1.0], [-2.0], [9.0], [-8.0]]);
    }

    #[test]
    fn where_all_others_are_of_no_length_nothing_is_left_of_the_longest() {
        let passing = Passing::of(&[[0.0], [0.0], [0.0], [5.0]]);
        assert_eq!(passing.assuming(1).by(&AdaptiveClipping {}).models, [[0.0]; 4]);
    }
}
