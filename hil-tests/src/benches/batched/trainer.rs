//! Local training of all devices of a round as one batch.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use learning::data::Drawn;
use learning::models::{ManyDevices, ModelError};
use scenario::Scenario;

use super::examples::Examples;
use super::together;

/// Trains the devices of a run.
#[derive(Debug)]
pub(super) struct Trainer {
    model: Arc<dyn ManyDevices>,
    examples: Examples,
    learning_rate: f64,
    device: Device,
}

/// The models of m devices after training.
pub(super) struct Trained {
    /// `[m, d]`.
    pub(super) models: Tensor,
    /// The mean loss of each over its minibatches, `[m]`.
    pub(super) losses: Tensor,
}

impl Trainer {
    /// Trains `model` on `examples`, on `device`, as `scenario` says.
    pub(super) fn new(
        scenario: &Scenario,
        model: Arc<dyn ManyDevices>,
        examples: Examples,
        device: Device,
    ) -> Self {
        Trainer { model, examples, learning_rate: scenario.training.learning_rate, device }
    }

    /// Trains from the model `global`, `[d]`, with the minibatches that each of at least one device has `drawn`, as many
    /// each.
    ///
    /// # Errors
    /// If candle or the GPU fails, as with too little memory.
    pub(super) fn train(&self, global: &Tensor, drawn: &[Vec<Drawn>]) -> Result<Trained, ModelError> {
        // A device with few examples has minibatches of another size.
        let sizes = |device: &[Drawn]| device.iter().map(|drawn| drawn.indices.len()).collect::<Vec<_>>();
        let mut order: Vec<usize> = (0..drawn.len()).collect();
        order.sort_by_key(|&device| sizes(&drawn[device]));
        let at_a_time = |alike: &[usize]| {
            let longest = sizes(&drawn[alike[0]]).into_iter().max().unwrap_or(0);
            together(self.model.values_at_a_time(), longest, self.examples.features())
        };
        let (mut models, mut losses) = (Vec::new(), Vec::new());
        let alike = order.chunk_by(|&a, &b| sizes(&drawn[a]) == sizes(&drawn[b]));
        for devices in alike.flat_map(|alike| alike.chunks(at_a_time(alike))) {
            let devices: Vec<&[Drawn]> = devices.iter().map(|&device| &drawn[device][..]).collect();
            let trained = self.train_alike(global, &devices)?;
            models.push(trained.models);
            losses.push(trained.losses);
        }
        let trained = Trained { models: Tensor::cat(&models, 0)?, losses: Tensor::cat(&losses, 0)? };
        if order.is_sorted() {
            return Ok(trained);
        }
        let mut places = vec![0_u32; order.len()];
        for (place, &device) in (0..).zip(&order) {
            places[device] = place;
        }
        let places = Tensor::new(places, &self.device)?;
        Ok(Trained {
            models: trained.models.index_select(&places, 0)?,
            losses: trained.losses.index_select(&places, 0)?,
        })
    }

    fn train_alike(&self, global: &Tensor, devices: &[&[Drawn]]) -> Result<Trained, ModelError> {
        let mut models = global.unsqueeze(0)?.repeat((devices.len(), 1))?;
        let steps = devices.first().map_or(0, |steps| steps.len());
        let mut losses = Tensor::zeros(devices.len(), models.dtype(), &self.device)?;
        for step in 0..steps {
            let drawn: Vec<&Drawn> = devices.iter().map(|device| &device[step]).collect();
            let (examples, right) = self.examples.gather(&drawn)?;
            let (loss, gradient) = self.model.loss_and_gradient(&models, &examples, &right)?;
            models = (models - (gradient * self.learning_rate)?)?;
            losses = (losses + loss)?;
        }
        Ok(Trained { models, losses: (losses / steps.max(1) as f64)? })
    }
}

#[cfg(test)]
mod tests {
    use learning::data::{Batch, Dataset, Features};
    use learning::models::{self, Model, many_devices};
    use learning::random::{Purpose, stream};
    use learning::training::train;

    use super::super::testing::device;
    use super::*;

    const CLASSES: usize = 4;

    fn scenario(model: &str) -> Scenario {
        let text = format!("name = \"t\"\ndataset = \"mnist\"\nmodel = \"{model}\"\nrounds = 1\n");
        Scenario::parse("t.toml", &text, &[]).unwrap()
    }

    /// A hundred examples of no meaning.
    fn dataset(shape: &[usize]) -> Dataset {
        let features: usize = shape.iter().product();
        let value = |i: usize| ((i * 37 + i / features * 101 + i * i % 17) % 29) as f32 / 29.0;
        let features = Features::Floats((0..100 * features).map(value).collect());
        let labels = (0..100).map(|example| (example * 7 % 11 % CLASSES) as u8).collect();
        Dataset::new(shape.to_vec(), CLASSES, features, labels).unwrap()
    }

    fn trainer(name: &str, dataset: &Dataset) -> (Arc<dyn Model>, Trainer) {
        let (scenario, shape) = (scenario(name), dataset.shape());
        let model: Arc<dyn Model> = models::build(&*scenario.model, shape, CLASSES).unwrap().into();
        let examples = Examples::new(dataset, device()).unwrap();
        let trainer = Trainer::new(&scenario, many_devices(&model, shape), examples, device().clone());
        (model, trainer)
    }

    fn initial(model: &dyn Model) -> Vec<f32> {
        model.initial(&mut stream(3, Purpose::Weights, None, 0)).into_values()
    }

    /// `count` examples for one step of a device.
    fn draw(dataset: &Dataset, count: usize, seed: usize) -> Drawn {
        let indices: Vec<u32> = (0..count).map(|example| ((seed * 13 + example * 3) % 100) as u32).collect();
        let labels = indices.iter().map(|&index| u32::from(dataset.labels()[index as usize])).collect();
        Drawn { indices, labels }
    }

    fn batch(dataset: &Dataset, drawn: &Drawn) -> Batch {
        Batch { labels: drawn.labels.clone(), ..dataset.batch(&drawn.indices) }
    }

    fn train_batched(trainer: &Trainer, global: &[f32], drawn: &[Vec<Drawn>]) -> (Vec<Vec<f32>>, Vec<f32>) {
        let global = Tensor::new(global, device()).unwrap();
        let Trained { models, losses } = trainer.train(&global, drawn).unwrap();
        (models.to_vec2().unwrap(), losses.to_vec1().unwrap())
    }

    /// That devices trained as a batch end where each ends by itself, after so many steps to so much of the largest move.
    fn assert_trained_alike(name: &str, shape: &[usize], counts: &[usize], (steps, tolerance): (usize, f32)) {
        let dataset = dataset(shape);
        let (model, trainer) = trainer(name, &dataset);
        let global: Arc<[f32]> = initial(&*model).into();
        let rate = trainer.learning_rate as f32;
        let drawn = |(device, &count): (usize, &usize)| {
            (0..steps).map(|step| draw(&dataset, count, device * 3 + step)).collect()
        };
        let drawn: Vec<Vec<Drawn>> = counts.iter().enumerate().map(drawn).collect();
        let (models, losses) = train_batched(&trainer, &global, &drawn);
        for (device, (together, loss)) in models.iter().zip(losses).enumerate() {
            let minibatch = |step: usize| batch(&dataset, &drawn[device][step]);
            let alone = train(&*model, global.clone(), rate, steps, minibatch).unwrap();
            assert!((loss - alone.loss).abs() < 1e-5, "{loss} {}", alone.loss);
            let moved =
                |trained: &[f32]| -> Vec<f32> { trained.iter().zip(&*global).map(|(a, b)| a - b).collect() };
            let (together, alone) = (moved(together), moved(&alone.parameters));
            let largest = alone.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(largest > 1e-4, "it has learnt something");
            for (place, (together, alone)) in together.iter().zip(&alone).enumerate() {
                assert!((together - alone).abs() <= tolerance * largest, "{place}: {together}, not {alone}");
            }
        }
    }

    #[test]
    fn logistic_regression_of_many_devices_learns_what_each_would() {
        assert_trained_alike("logistic-regression", &[5, 3], &[6, 6, 4, 6], (3, 1e-4));
    }

    #[test]
    fn the_dnn_of_many_devices_learns_what_each_would() {
        // Sides that leave an odd row and an odd column to the poolings.
        assert_trained_alike("dnn", &[13, 12], &[5, 5, 5], (3, 1e-4));
        assert_trained_alike("dnn", &[7], &[5, 2], (3, 1e-4));
    }

    #[test]
    fn the_networks_of_other_papers_learn_for_many_devices_what_they_do_for_each() {
        assert_trained_alike("cnn-byzfl", &[16, 17], &[5, 5, 3], (3, 1e-4));
        assert_trained_alike("cnn-mcmahan", &[6, 5], &[5, 5, 3], (3, 1e-4));
        assert_trained_alike("2nn", &[3, 4], &[5, 5, 3], (3, 1e-4));
    }

    #[test]
    fn resnet20_of_many_devices_learns_what_each_would() {
        // Sides that are halved with a rest, and without. What rounding does in one step, the next multiplies.
        assert_trained_alike("resnet20", &[7, 8], &[5, 5, 3], (1, 1e-3));
    }

    /// Batch normalisation makes much of channels that hardly vary, as those of pictures that are black for the most part.
    #[test]
    fn resnet20_loses_no_digits_in_black_pictures() {
        let pixel = |i: usize| {
            let is_inside = [i % 784 / 28, i % 28].iter().all(|side| (8..20).contains(side));
            if is_inside && (i * 7919 / 13) % 5 < 2 {
                ((i * 37 + i / 784 * 101) % 255) as f32 / 255.0
            } else {
                0.0
            }
        };
        let labels = (0..100).map(|example| (example * 7 % 11 % CLASSES) as u8).collect();
        let features = Features::Floats((0..100 * 784).map(pixel).collect());
        let dataset = Dataset::new(vec![28, 28], CLASSES, features, labels).unwrap();
        let (model, trainer) = trainer("resnet20", &dataset);
        let (global, drawn) = (initial(&*model), draw(&dataset, 8, 0));
        let rate = trainer.learning_rate as f32;
        let alone = train(&*model, global.clone().into(), rate, 1, |_| batch(&dataset, &drawn)).unwrap();
        let (together, _) = train_batched(&trainer, &global, &[vec![drawn]]);
        let apart = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
        };
        let (off, step) = (apart(&together[0], &alone.parameters), apart(&global, &alone.parameters));
        assert!(off <= 1e-4 * step, "off by {off:e}, of {step:e}");
    }

    #[test]
    fn what_overflows_is_blocked_as_in_the_model() {
        let dataset = dataset(&[13, 12]);
        let (model, trainer) = trainer("dnn", &dataset);
        let mut global = initial(&*model);
        let layer = model.layout().entries().iter().find(|entry| entry.name == "fc1.weight").unwrap();
        // Some outputs of the layer are minus infinity then, and blocked.
        global[layer.range()].iter_mut().for_each(|value| *value = -3e38);
        let drawn = draw(&dataset, 5, 1);
        let rate = trainer.learning_rate as f32;
        let alone = train(&*model, global.clone().into(), rate, 1, |_| batch(&dataset, &drawn)).unwrap();
        let (models, losses) = train_batched(&trainer, &global, &[vec![drawn]]);
        assert!(alone.loss.is_finite() && (losses[0] - alone.loss).abs() < 1e-5, "{losses:?}");
        for (together, alone) in models[0].iter().zip(&*alone.parameters) {
            assert!((together - alone).abs() <= 1e-5, "{together}, not {alone}");
        }
    }

    #[test]
    fn without_a_step_devices_have_the_model_that_they_got() {
        let (_, trainer) = trainer("logistic-regression", &dataset(&[2]));
        let global: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let (models, losses) = train_batched(&trainer, &global, &[vec![], vec![]]);
        assert_eq!((models, losses), (vec![global.clone(), global], vec![0.0; 2]));
    }
}
