//! What tests start from.

use std::collections::BTreeMap;

use record::Summary;

/// A run of one round without an evaluation.
pub(crate) fn summary() -> Summary {
    Summary {
        name: "example".to_owned(),
        seed: 1,
        bench: "software".to_owned(),
        rounds: 1,
        aggregated_rounds: 1,
        least_updates: 1,
        mean_updates: 1.0,
        final_test_error: None,
        best_test_error: None,
        model_sha256: String::new(),
        seconds: 1.0,
        rounds_per_second: 1.0,
        bytes_up: 0,
        bytes_down: 0,
        devices: 1,
        refused: BTreeMap::new(),
        attack: None,
        metrics: BTreeMap::new(),
        confusion: Vec::new(),
    }
}
