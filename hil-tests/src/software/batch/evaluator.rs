//! A model that is evaluated where devices are trained as a batch.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use shared::data::Batch;
use shared::models::{Model, ModelError};
use shared::parameters::{Layout, Parameters};
use shared::random::Stream;

use super::network::Network;

/// A model whose logits candle computes on a device of its own; all else it leaves to the model itself. Logits are the
/// model's within rounding.
pub(super) struct Evaluator {
    model: Arc<dyn Model>,
    network: Network,
    device: Device,
}

impl Evaluator {
    /// Evaluates `model`, which is `network`, on `device`.
    pub(super) fn new(model: Arc<dyn Model>, network: Network, device: Device) -> Self {
        Evaluator { model, network, device }
    }
}

impl Model for Evaluator {
    fn layout(&self) -> &Arc<Layout> {
        self.model.layout()
    }

    fn initial(&self, random: &mut Stream) -> Parameters {
        self.model.initial(random)
    }

    fn loss_and_gradient(&self, parameters: &[f32], batch: &Batch) -> Result<(f32, Vec<f32>), ModelError> {
        self.model.loss_and_gradient(parameters, batch)
    }

    fn logits(&self, parameters: &[f32], batch: &Batch) -> Result<Vec<f32>, ModelError> {
        self.layout().check(parameters)?;
        let features = batch.features.to_floats();
        if batch.is_empty() || features.is_empty() {
            return Err(ModelError::Empty);
        }
        let shape = (1, batch.len(), features.len() / batch.len());
        let examples = Tensor::from_slice(&features, shape, &self.device)?;
        let parameters = Tensor::from_slice(parameters, (1, parameters.len()), &self.device)?;
        Ok(self.network.logits(&parameters, &examples)?.flatten_all()?.to_vec1()?)
    }
}

#[cfg(test)]
mod tests {
    use shared::data::Features;
    use shared::models::{self, ModelName};
    use shared::random::{Purpose, stream};

    use super::*;

    fn batch(shape: &[usize], count: usize) -> Batch {
        let features = count * shape.iter().product::<usize>();
        let value = |i: usize| ((i * 37 + i * i % 17) % 29) as f32 / 29.0;
        let features = Features::Floats((0..features).map(value).collect());
        Batch { features, shape: shape.to_vec(), labels: vec![0; count] }
    }

    fn evaluator(name: ModelName, shape: &[usize]) -> (Arc<dyn Model>, Evaluator) {
        let model: Arc<dyn Model> = models::build(name, shape, 4).unwrap().into();
        let network = Network::of(name, model.as_ref(), shape).unwrap();
        (model.clone(), Evaluator::new(model, network, Device::Cpu))
    }

    #[test]
    fn logits_are_those_of_the_model() {
        let cases = [
            (ModelName::LogisticRegression, &[5, 3][..]),
            (ModelName::Dnn, &[13, 12]),
            (ModelName::Dnn, &[7]),
        ];
        for (name, shape) in cases {
            let (model, evaluator) = evaluator(name, shape);
            let mut parameters = model.initial(&mut stream(3, Purpose::Weights, None, 0)).values().to_vec();
            parameters.iter_mut().enumerate().for_each(|(i, value)| *value += (i % 7) as f32 / 20.0 - 0.14);
            let expected = model.logits(&parameters, &batch(shape, 6)).unwrap();
            let logits = evaluator.logits(&parameters, &batch(shape, 6)).unwrap();
            assert_eq!(logits.len(), expected.len());
            let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(largest > 0.05, "there is something to compare");
            for (value, expected) in logits.iter().zip(&expected) {
                assert!((value - expected).abs() <= 1e-4 * largest, "{name}: {value}, not {expected}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (model, evaluator) = evaluator(ModelName::Dnn, &[13, 12]);
        let parameters = vec![0.0; model.layout().dimension()];
        let refused = |parameters: &[f32], batch: &Batch| evaluator.logits(parameters, batch).unwrap_err();
        assert!(matches!(refused(&parameters[1..], &batch(&[13, 12], 2)), ModelError::Parameters(_)));
        assert!(matches!(refused(&parameters, &batch(&[13, 12], 0)), ModelError::Empty));
        assert!(matches!(refused(&parameters, &batch(&[13, 11], 2)), ModelError::Tensor(_)));
    }
}
