//! Multi-class logistic regression: one linear layer, whatever the shape of the examples.

use candle_core::{Result, Tensor};

use super::classifier::{Classifier, Network};
use super::linear::linear;
use super::{Model, ModelError};
use crate::parameters::Layout;

/// Starts from zeros, which do as well as any draw since its loss is convex.
struct LogisticRegression;

impl Network for LogisticRegression {
    fn forward(&self, parameters: &[Tensor], input: &Tensor) -> Result<Tensor> {
        linear(&input.flatten_from(1)?, &parameters[0], &parameters[1])
    }
}

#[expect(clippy::unnecessary_wraps, reason = "all models are built through one signature")]
pub(super) fn build(shape: &[usize], classes: usize) -> std::result::Result<Box<dyn Model>, ModelError> {
    Ok(Box::new(classifier(shape, classes)))
}

fn classifier(shape: &[usize], classes: usize) -> Classifier<LogisticRegression> {
    let features = shape.iter().product();
    let layout = Layout::new([("weight", vec![classes, features]), ("bias", vec![classes])]);
    Classifier::new(LogisticRegression, layout, shape, classes)
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_model_gradient, random_batch};
    use super::*;
    use crate::random::{Purpose, stream};

    #[test]
    fn mnist_has_7850_parameters_that_start_as_zeros() {
        let model = build(&[28, 28], 10).unwrap();
        let initial = model.initial(&mut stream(1, Purpose::Weights, None, 0));
        assert_eq!(initial.values(), vec![0.0; 7850]);
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        assert_model_gradient(&classifier(&[3, 5], 4), &random_batch(&[3, 5], 4, 6));
        assert_model_gradient(&classifier(&[30], 2), &random_batch(&[30], 2, 1));
    }
}
