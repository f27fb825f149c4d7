//! The multilayer perceptron of federated averaging, its "2NN" (McMahan et al. 2017, section 3).
//!
//! On examples of any shape, flattened: fully connected 200, rectifier, fully connected 200, rectifier, fully connected, softmax.
//! MNIST has 199,210 parameters. Weights begin as Xavier uniform values, biases as zeros.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feed_forward::FeedForward;
use super::{Architecture, LayerSummary, Model, ModelError};

const NETWORK: FeedForward = FeedForward {
    name: "2nn",
    supported: "[features], [height, width] or more dimensions",
    channels: &[],
    kernel: 1,
    padding: 0,
    hidden: &[200, 200],
};

/// Two hidden layers of 200 (McMahan et al. 2017, "2NN"), for examples of any shape.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TwoNn {}

impl Architecture for TwoNn {
    fn build(&self, shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(NETWORK.classifier(shape, classes)?))
    }

    fn summary(&self, shape: &[usize], classes: usize) -> Result<Vec<LayerSummary>, ModelError> {
        NETWORK.summary(shape, classes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_model_gradient, random_batch};
    use super::*;

    #[test]
    fn mnist_has_the_199210_parameters_of_the_paper() {
        let model = TwoNn {}.build(&[28, 28], 10).unwrap();
        assert_eq!(model.layout().dimension(), 199_210);
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for shape in [&[7][..], &[3, 4], &[2, 2, 3]] {
            assert_model_gradient(&NETWORK.classifier(shape, 4).unwrap(), &random_batch(shape, 4, 3));
        }
    }
}
