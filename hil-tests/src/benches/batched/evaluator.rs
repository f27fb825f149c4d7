//! Evaluation of models, where they are trained.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use learning::data::Batch;
use learning::evaluation::{ClassEvaluation, ClassTally, Evaluation, Tally};
use learning::models::{ManyDevices, ModelError};

use super::together;

/// Evaluates models on the same examples again and again. Logits are the model's within rounding.
pub(super) struct Evaluator {
    model: Arc<dyn ManyDevices>,
    /// Features, `[1, n, features]`, which stay on the device, and labels.
    examples: Vec<(Tensor, Vec<u32>)>,
    /// Values of the examples that models are evaluated on at a time.
    values: usize,
}

impl Evaluator {
    /// Takes the examples of `batches` to `device`.
    pub(super) fn new(
        model: Arc<dyn ManyDevices>,
        batches: impl IntoIterator<Item = Batch>,
        device: &Device,
        values: usize,
    ) -> candle_core::Result<Self> {
        let resident = |batch: Batch| {
            let features = batch.features.to_floats();
            let shape = (1, batch.len(), features.len() / batch.len().max(1));
            Ok((Tensor::from_slice(&features, shape, device)?, batch.labels))
        };
        let examples = batches.into_iter().map(resident).collect::<candle_core::Result<_>>()?;
        Ok(Evaluator { model, examples, values })
    }

    /// How good each of `models` is, `[k, d]`.
    ///
    /// # Errors
    /// [`ModelError::Empty`] if there is no example, and what candle or the GPU fails with.
    pub(super) fn evaluate(&self, models: &Tensor) -> Result<Vec<Evaluation>, ModelError> {
        let mut tallies = vec![Tally::default(); models.dim(0)?];
        self.classify(models, |model, logits, labels| tallies[model].add(logits, labels))?;
        tallies.into_iter().map(Tally::evaluation).collect()
    }

    /// How good `model` is on each class, `[d]`.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`].
    pub(super) fn evaluate_classes(&self, model: &Tensor) -> Result<ClassEvaluation, ModelError> {
        let mut tally = ClassTally::default();
        self.classify(&model.unsqueeze(0)?, |_, logits, labels| tally.add(logits, labels))?;
        tally.evaluation()
    }

    /// Gives `add` the logits of all examples under each of `models`, with the model's place and the labels.
    fn classify(
        &self,
        models: &Tensor,
        mut add: impl FnMut(usize, &[f32], &[u32]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let count = models.dim(0)?;
        let sizes = self.examples.iter().map(|(examples, _)| examples.elem_count());
        let together = together(self.values, sizes.max().unwrap_or(0), 1);
        for start in (0..count).step_by(together) {
            let models = models.narrow(0, start, together.min(count - start))?;
            for (examples, labels) in &self.examples {
                let logits = self.model.logits(&models, &examples.repeat((models.dim(0)?, 1, 1))?)?;
                for (place, logits) in logits.flatten_from(1)?.to_vec2()?.iter().enumerate() {
                    add(start + place, logits, labels)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use learning::data::Features;
    use learning::evaluation::{evaluate, evaluate_classes};
    use learning::models::{
        Architecture, CnnByzfl, CnnMcmahan, Dnn, LogisticRegression, Model, ResNet20, TwoNn, build,
        many_devices,
    };
    use learning::random::{Purpose, stream};

    use super::super::testing::device;
    use super::*;

    const CLASSES: usize = 4;

    fn batch(shape: &[usize], count: usize) -> Batch {
        let features = count * shape.iter().product::<usize>();
        let value = |i: usize| ((i * 37 + i * i % 17) % 29) as f32 / 29.0;
        let features = Features::Floats((0..features).map(value).collect());
        Batch { features, shape: shape.to_vec(), labels: (0..CLASSES as u32).cycle().take(count).collect() }
    }

    fn evaluator(
        architecture: &dyn Architecture,
        shape: &[usize],
        batches: Vec<Batch>,
    ) -> (Arc<dyn Model>, Evaluator) {
        let model: Arc<dyn Model> = build(architecture, shape, CLASSES).unwrap().into();
        let many = many_devices(&model, shape);
        // Two models with eight examples at a time.
        let values = 16 * shape.iter().product::<usize>();
        (model, Evaluator::new(many, batches, device(), values).unwrap())
    }

    #[test]
    fn models_are_as_good_as_elsewhere() {
        let cases: [(&dyn Architecture, &[usize]); 7] = [
            (&LogisticRegression {}, &[5, 3]),
            (&Dnn {}, &[13, 12]),
            (&Dnn {}, &[7]),
            (&ResNet20 {}, &[9, 8]),
            (&CnnByzfl {}, &[16, 17]),
            (&CnnMcmahan {}, &[6, 5]),
            (&TwoNn {}, &[3, 4]),
        ];
        for (architecture, shape) in cases {
            let batches = || vec![batch(shape, 8), batch(shape, 6)];
            let (model, evaluator) = evaluator(architecture, shape, batches());
            let random = |seed| model.initial(&mut stream(seed, Purpose::Weights, None, 0)).values().to_vec();
            let mut several: Vec<Vec<f32>> = (0..3).map(random).collect();
            several[1].iter_mut().enumerate().for_each(|(i, value)| *value += (i % 7) as f32 / 5.0 - 0.6);
            let alone = |parameters: &Vec<f32>| evaluate(model.as_ref(), parameters, batches()).unwrap();
            let expected: Vec<Evaluation> = several.iter().map(alone).collect();
            let differ = (expected[1].loss - expected[0].loss).abs() > 0.01;
            assert!(differ, "there is something to compare: {expected:?}");
            let found = evaluator.evaluate(&Tensor::new(several.clone(), device()).unwrap()).unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found.loss - expected.loss).abs() <= 1e-4 * expected.loss,
                    "{architecture:?}: {found:?}"
                );
                assert!(found.errors == expected.errors, "{architecture:?}: {found:?}, not {expected:?}");
                assert_eq!(found.examples, expected.examples);
            }
            let last = Tensor::new(&several[2][..], device()).unwrap();
            let expected = evaluate_classes(model.as_ref(), &several[2], batches()).unwrap();
            assert_eq!(evaluator.evaluate_classes(&last).unwrap().confusion, expected.confusion);
        }
    }

    #[test]
    fn nothing_to_evaluate_on_is_an_error() {
        let (model, evaluator) = evaluator(&LogisticRegression {}, &[2], vec![]);
        let models = Tensor::zeros((1, model.layout().dimension()), candle_core::DType::F32, device());
        assert!(matches!(evaluator.evaluate(&models.unwrap()), Err(ModelError::Empty)));
    }
}
