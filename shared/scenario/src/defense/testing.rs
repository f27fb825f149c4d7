//! What the tests of stages share.

use learning::evaluation::Evaluation;

use super::LeaveOneOut;

/// Evidence of (errors of 10, loss), with all updates and without each.
pub(super) fn evidence(with_all: (usize, f64), without: &[(usize, f64)]) -> LeaveOneOut {
    let evaluation = |&(errors, loss): &(usize, f64)| Evaluation {
        examples: 10,
        errors,
        error_rate: errors as f64 / 10.0,
        loss,
    };
    LeaveOneOut {
        with_all: evaluation(&with_all),
        without: without.iter().map(evaluation).collect(),
        tie_breakers: vec![(false, 0); without.len()],
    }
}
