//! The direction in which the global model would move without attack (paper section 3.1).

/// `s_j` = +1 where the aggregate of the before-attack models exceeds the global model, else -1 (the paper's partial
/// attack says: not greater -> -1).
pub(super) fn rises(aggregate: f64, global: f32) -> bool {
    aggregate > f64::from(global)
}
