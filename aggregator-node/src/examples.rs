//! A model that can be computed by hand, for the tests of this crate.

use std::sync::Arc;

use learning::data::{Dataset, Features};
use learning::models::{LogisticRegression, Model, build};

/// Logistic regression on one feature with two classes: its parameters are two weights and two biases.
pub(crate) fn model() -> Arc<dyn Model> {
    build(&LogisticRegression {}, &[1], 2).unwrap().into()
}

/// Two examples of class 0 and one of class 1, of feature 0: only the biases count.
pub(crate) fn test_set() -> Dataset {
    Dataset::new(vec![1], 2, Features::Floats(vec![0.0; 3]), vec![0, 0, 1]).unwrap()
}

/// Updates that differ in the bias of class 0 alone, whose logit it is; that of class 1 is 0.
pub(crate) fn rows_of_bias(biases: &[f32]) -> Vec<Vec<f32>> {
    biases.iter().map(|&bias| vec![0.0, 0.0, bias, 0.0]).collect()
}
