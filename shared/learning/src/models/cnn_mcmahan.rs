//! The convolutional network of federated averaging (McMahan et al. 2017, section 3).
//!
//! On images of shape `[height, width]`: convolution 5 x 5 x 32, rectifier, max-pooling 2 x 2, convolution 5 x 5 x 64, rectifier,
//! max-pooling 2 x 2, fully connected 512, rectifier, fully connected, softmax. Convolutions are padded so that they keep the
//! sides, which the paper does not say, but its number of parameters does: 1,663,370 on MNIST. A side of 28 becomes 14, 7. Of an
//! odd side, a pooling leaves the last row or column out. Weights begin as Xavier uniform values, biases as zeros.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::feed_forward::FeedForward;
use super::{Architecture, LayerSummary, Model, ModelError};

const NETWORK: FeedForward = FeedForward {
    name: "cnn-mcmahan",
    supported: "[height, width] of at least 4 x 4",
    channels: &[32, 64],
    kernel: 5,
    padding: 2,
    hidden: &[512],
};

/// The convolutional network of federated averaging (McMahan et al. 2017), for pictures only.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct CnnMcmahan {}

impl Architecture for CnnMcmahan {
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
    fn mnist_has_the_1663370_parameters_of_the_paper() {
        let model = CnnMcmahan {}.build(&[28, 28], 10).unwrap();
        assert_eq!(model.layout().dimension(), 1_663_370);
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for shape in [[4, 7], [5, 4]] {
            assert_model_gradient(&NETWORK.classifier(&shape, 4).unwrap(), &random_batch(&shape, 4, 3));
        }
    }

    #[test]
    fn an_image_must_survive_the_pooling() {
        assert!(CnnMcmahan {}.build(&[4, 4], 2).is_ok());
        for shape in [&[3, 28][..], &[28, 3], &[784], &[3, 28, 28], &[]] {
            let error = CnnMcmahan {}.build(shape, 2).err().unwrap();
            assert!(matches!(error, ModelError::UnsupportedShape { .. }), "{error}");
        }
    }
}
