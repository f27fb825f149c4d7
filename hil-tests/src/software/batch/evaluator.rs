//! Models that are evaluated where devices are trained as a batch.

use std::sync::Arc;

use aggregator_node::evaluator::{Evaluator, Evaluators, Examples};
use candle_core::{Device, Tensor};
use shared::data::Batch;
use shared::evaluation::{Evaluation, Tally};
use shared::models::ModelError;
use shared::parameters::Layout;

use super::network::Network;
use super::together;

/// A network that candle evaluates on a device of its own. Logits are the model's within rounding.
#[derive(Clone)]
pub(super) struct Evaluating {
    pub(super) network: Network,
    pub(super) layout: Arc<Layout>,
    pub(super) device: Device,
    /// Of the examples that models are evaluated on at a time.
    pub(super) values: usize,
}

impl Evaluators for Evaluating {
    fn on(&self, examples: Examples) -> Result<Box<dyn Evaluator>, ModelError> {
        let resident = |batch: &Batch| -> Result<_, ModelError> {
            let features = batch.features.to_floats();
            let shape = (1, batch.len(), features.len() / batch.len().max(1));
            Ok((Tensor::from_slice(&features, shape, &self.device)?, batch.labels.clone()))
        };
        let examples = examples.batches().map(|batch| resident(&batch)).collect::<Result<_, _>>()?;
        Ok(Box::new(OnDevice { on: self.clone(), examples }))
    }
}

struct OnDevice {
    on: Evaluating,
    /// Features, `[1, n, features]`, which stay on the device, and labels.
    examples: Vec<(Tensor, Vec<u32>)>,
}

impl Evaluator for OnDevice {
    fn evaluate(&self, parameters: &[&[f32]]) -> Result<Vec<Evaluation>, ModelError> {
        let Evaluating { network, layout, device, values } = &self.on;
        parameters.iter().try_for_each(|parameters| layout.check(parameters))?;
        let mut tallies = vec![Tally::default(); parameters.len()];
        let longest = self.examples.iter().map(|(_, labels)| labels.len()).max().unwrap_or(0);
        let together = together(*values, longest, network.features());
        for (models, tallies) in parameters.chunks(together).zip(tallies.chunks_mut(together)) {
            let shape = (models.len(), layout.dimension());
            let models = Tensor::from_vec(models.concat(), shape, device)?;
            for (examples, labels) in &self.examples {
                let logits = network.logits(&models, &examples.repeat((shape.0, 1, 1))?)?;
                for (tally, logits) in tallies.iter_mut().zip(logits.flatten_from(1)?.to_vec2()?) {
                    tally.add(&logits, labels)?;
                }
            }
        }
        tallies.into_iter().map(Tally::evaluation).collect()
    }
}

#[cfg(test)]
mod tests {
    use shared::data::Features;
    use shared::models::{self, Model, ModelName};
    use shared::random::{Purpose, stream};

    use super::*;

    const CLASSES: usize = 4;

    fn batch(shape: &[usize], count: usize) -> Batch {
        let features = count * shape.iter().product::<usize>();
        let value = |i: usize| ((i * 37 + i * i % 17) % 29) as f32 / 29.0;
        let features = Features::Floats((0..features).map(value).collect());
        Batch { features, shape: shape.to_vec(), labels: (0..CLASSES as u32).cycle().take(count).collect() }
    }

    fn evaluating(name: ModelName, shape: &[usize]) -> (Arc<dyn Model>, Evaluating) {
        let model: Arc<dyn Model> = models::build(name, shape, CLASSES).unwrap().into();
        let network = Network::of(name, model.as_ref(), shape).unwrap();
        // Two models with eight examples at a time.
        let values = 16 * network.features();
        (model.clone(), Evaluating { network, layout: model.layout().clone(), device: Device::Cpu, values })
    }

    #[test]
    fn models_are_as_good_as_on_the_processors() {
        let cases = [
            (ModelName::LogisticRegression, &[5, 3][..]),
            (ModelName::Dnn, &[13, 12]),
            (ModelName::Dnn, &[7]),
        ];
        for (name, shape) in cases {
            let (model, evaluating) = evaluating(name, shape);
            let random = |seed| model.initial(&mut stream(seed, Purpose::Weights, None, 0)).values().to_vec();
            let mut several: Vec<Vec<f32>> = (0..3).map(random).collect();
            several[1].iter_mut().enumerate().for_each(|(i, value)| *value += (i % 7) as f32 / 5.0 - 0.6);
            let several: Vec<&[f32]> = several.iter().map(Vec::as_slice).collect();
            let batches = || Examples::Drawn(vec![batch(shape, 8), batch(shape, 6)]);
            let expected = model.on(batches()).unwrap().evaluate(&several).unwrap();
            let found = evaluating.on(batches()).unwrap().evaluate(&several).unwrap();
            let differ = (expected[1].loss - expected[0].loss).abs() > 0.01;
            assert!(differ, "there is something to compare: {expected:?}");
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found.loss - expected.loss).abs() <= 1e-4 * expected.loss, "{name}: {found:?}");
                assert!(found.errors == expected.errors, "{name}: {found:?}, not {expected:?}");
                assert_eq!(found.examples, expected.examples);
            }
            assert_eq!(found.len(), several.len());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (model, evaluating) = evaluating(ModelName::Dnn, &[13, 12]);
        let parameters = vec![0.0; model.layout().dimension()];
        let refused = |parameters: &[f32], batch: Batch| {
            evaluating.on(Examples::Drawn(vec![batch])).unwrap().evaluate_one(parameters).unwrap_err()
        };
        assert!(matches!(refused(&parameters[1..], batch(&[13, 12], 2)), ModelError::Parameters(_)));
        assert!(matches!(refused(&parameters, batch(&[13, 11], 2)), ModelError::Tensor(_)));
        let none = evaluating.on(Examples::Drawn(vec![])).unwrap().evaluate_one(&parameters);
        assert!(matches!(none, Err(ModelError::Empty)));
    }
}
