//! The convolutional network of ByzFL's benchmark on MNIST (`cnn_mnist`, ByzFL 69bd1ac).
//!
//! On images of shape `[height, width]`: convolution 5 x 5 x 20, rectifier, max-pooling 2 x 2, convolution 5 x 5 x 50, rectifier,
//! max-pooling 2 x 2, fully connected 500, rectifier, fully connected, softmax; no padding. A side of 28 becomes 24, 12, 8, 4.
//! Weights begin as Xavier uniform values and biases as zeros; there, both begin as uniform values within one over the root of
//! the inputs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feed_forward::FeedForward;
use super::{Architecture, LayerSummary, Model, ModelError};

const NETWORK: FeedForward = FeedForward {
    name: "cnn-byzfl",
    supported: "[height, width] of at least 16 x 16",
    channels: &[20, 50],
    kernel: 5,
    padding: 0,
    hidden: &[500],
};

/// The convolutional network of ByzFL's benchmark on MNIST, for pictures only.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct CnnByzfl {}

impl Architecture for CnnByzfl {
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
    fn mnist_has_the_parameters_of_the_benchmark() {
        let model = CnnByzfl {}.build(&[28, 28], 10).unwrap();
        assert_eq!(model.layout().entries()[4].shape, [500, 800]);
        assert_eq!(model.layout().dimension(), 20 * 26 + 50 * 501 + 500 * 801 + 10 * 501);
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        assert_model_gradient(&NETWORK.classifier(&[17, 16], 4).unwrap(), &random_batch(&[17, 16], 4, 3));
    }

    #[test]
    fn an_image_must_survive_the_pooling() {
        assert!(CnnByzfl {}.build(&[16, 16], 2).is_ok());
        for shape in [&[15, 28][..], &[28, 15], &[784], &[3, 28, 28], &[]] {
            let error = CnnByzfl {}.build(shape, 2).err().unwrap();
            assert!(matches!(error, ModelError::UnsupportedShape { .. }), "{error}");
        }
    }
}
