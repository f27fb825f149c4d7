//! The paper's deep neural network (Table 7a).
//!
//! On images of shape `[height, width]`: convolution 3 x 3 x 30, rectifier, max-pooling 2 x 2, convolution
//! 3 x 3 x 50, rectifier, max-pooling 2 x 2, fully connected 200, rectifier, fully connected, softmax; no
//! padding. A side of 28 becomes 26, 13, 11, 5. On table rows of shape `[features]`, where a convolution
//! makes no sense, the fully connected part alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::classifier::Classifier;
use super::feed_forward::FeedForward;
use super::{Architecture, LayerSummary, Model, ModelError};

const TABLE_7A: FeedForward = FeedForward {
    name: "dnn",
    supported: "[features], or [height, width] of at least 10 x 10",
    channels: &[30, 50],
    kernel: 3,
    padding: 0,
    hidden: &[200],
};

/// The paper's Table 7a: convolutional on pictures, its fully connected part alone on rows of a table.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Dnn {}

impl Architecture for Dnn {
    fn build(&self, shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(classifier(shape, classes)?))
    }

    fn summary(&self, shape: &[usize], classes: usize) -> Result<Vec<LayerSummary>, ModelError> {
        network(shape).summary(shape, classes)
    }
}

fn classifier(shape: &[usize], classes: usize) -> Result<Classifier<FeedForward>, ModelError> {
    network(shape).classifier(shape, classes)
}

fn network(shape: &[usize]) -> FeedForward {
    match shape {
        [_] => FeedForward { channels: &[], ..TABLE_7A },
        _ => TABLE_7A,
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_model_gradient, random_batch};
    use super::*;
    use crate::data::{Batch, Features};
    use crate::parameters::Parameters;
    use crate::random::{Purpose, stream};
    use wire::identity::Digest;

    fn initial(model: &dyn Model) -> Parameters {
        model.initial(&mut stream(1, Purpose::Weights, None, 0))
    }

    #[test]
    fn mnist_has_the_266060_parameters_of_table_7a() {
        let model = Dnn {}.build(&[28, 28], 10).unwrap();
        assert_eq!(model.layout().dimension(), 266_060);
        assert_eq!(model.layout().entries()[4].shape, [200, 1250]);
    }

    #[test]
    fn the_initial_model_of_a_seed_is_pinned() {
        let parameters = initial(Dnn {}.build(&[28, 28], 10).unwrap().as_ref());
        for entry in parameters.layout().entries() {
            let values = &parameters.values()[entry.range()];
            assert_eq!(values.iter().all(|&value| value == 0.0), entry.name.ends_with("bias"), "{entry:?}");
        }
        assert_eq!(
            Digest::of(&parameters.to_le_bytes()).to_string(),
            "33598eeefb353c67dfbf2f2c1ff718bafa694365abbe34567547ca84abb254a4"
        );
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for shape in [&[12, 15][..], &[11, 10], &[7]] {
            let model = classifier(shape, 4).unwrap();
            assert_model_gradient(&model, &random_batch(shape, 4, 3));
        }
    }

    #[test]
    fn an_image_must_survive_the_pooling() {
        assert!(Dnn {}.build(&[10, 10], 2).is_ok());
        for shape in [&[9, 28][..], &[28, 9], &[1, 1], &[3, 28, 28], &[]] {
            let error = Dnn {}.build(shape, 2).err().unwrap();
            assert!(matches!(error, ModelError::UnsupportedShape { .. }), "{error}");
        }
    }

    /// On a blank image all values of a pooling window are equal. Were each of them given the gradient, the
    /// one of the first bias would be four times too large.
    #[test]
    fn equal_values_in_a_pooling_window_do_not_multiply_the_gradient() {
        let model = classifier(&[10, 10], 2).unwrap();
        let mut parameters = initial(&model);
        parameters.values_mut()[model.layout().entries()[1].range()].fill(0.5);
        let batch =
            Batch { features: Features::Floats(vec![0.0; 100]), shape: vec![10, 10], labels: vec![0] };
        let moved_along_bias = |step: f32| {
            let mut parameters = parameters.clone();
            parameters.values_mut()[model.layout().entries()[1].range()].iter_mut().for_each(|b| *b += step);
            f64::from(model.loss_and_gradient(parameters.values(), &batch).unwrap().0)
        };
        let expected = (moved_along_bias(0.01) - moved_along_bias(-0.01)) / 0.02;
        let (_, gradient) = model.loss_and_gradient(parameters.values(), &batch).unwrap();
        let sum: f32 = gradient[model.layout().entries()[1].range()].iter().sum();
        assert!((f64::from(sum) - expected).abs() < 0.02 * expected.abs(), "{sum} instead of {expected}");
    }
}
