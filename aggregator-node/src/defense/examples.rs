//! A model that can be computed by hand, for the tests of this module.

use std::sync::Arc;

use shared::data::{Dataset, Features};
use shared::evaluation::Evaluation;
use shared::models::{Model, ModelName, build};

use super::LeaveOneOut;
use crate::evaluator::{Evaluator, Examples};

/// Logistic regression on one feature with two classes: its parameters are two weights and two biases.
pub(crate) fn model() -> Arc<dyn Model> {
    build(ModelName::LogisticRegression, &[1], 2).unwrap().into()
}

/// Two examples of class 0 and one of class 1, of feature 0: only the biases count.
pub(crate) fn test_set() -> Dataset {
    Dataset::new(vec![1], 2, Features::Floats(vec![0.0; 3]), vec![0, 0, 1]).unwrap()
}

pub(crate) fn validation() -> Evaluator {
    Evaluator::new(model(), Examples::Drawn(test_set().batches(2).collect()))
}

/// Updates that differ in the bias of class 0 alone, whose logit it is; that of class 1 is 0.
pub(crate) fn rows_of_bias(biases: &[f32]) -> Vec<Vec<f32>> {
    biases.iter().map(|&bias| vec![0.0, 0.0, bias, 0.0]).collect()
}

/// Evidence of (errors of 10, loss), with all updates and without each.
pub(crate) fn evidence(with_all: (usize, f64), without: &[(usize, f64)]) -> LeaveOneOut {
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
