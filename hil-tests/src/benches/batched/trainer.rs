//! Local training of all devices of a round as one batch.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use learning::data::Drawn;
use learning::models::{ManyDevices, ModelError};
use learning::training::{Descent, Settings};
use scenario::Scenario;

use super::examples::Examples;
use super::together;

/// Trains the devices of a run.
#[derive(Debug)]
pub(super) struct Trainer {
    model: Arc<dyn ManyDevices>,
    examples: Examples,
    settings: Settings,
    /// Which parameters do not stay as they are, `[1, d]`, if any do: a condition.
    free: Option<Tensor>,
    device: Device,
}

/// The models of m devices after training.
pub(super) struct Trained {
    /// `[m, d]`.
    pub(super) models: Tensor,
    /// The mean loss of each over its minibatches, `[m]`.
    pub(super) losses: Tensor,
    /// The momentum of each, `[m, d]`, where training keeps it.
    pub(super) momenta: Option<Tensor>,
}

impl Trained {
    /// The momentum of each, where training keeps it.
    pub(super) fn momenta(&self) -> Result<Vec<Option<Arc<[f32]>>>, candle_core::Error> {
        let Some(momenta) = &self.momenta else { return Ok(vec![None; self.models.dim(0)?]) };
        Ok(momenta.to_vec2::<f32>()?.into_iter().map(|momentum| Some(momentum.into())).collect())
    }
}

impl Trainer {
    /// Trains `model` on `examples`, on `device`, as `scenario` says.
    pub(super) fn new(
        scenario: &Scenario,
        model: Arc<dyn ManyDevices>,
        examples: Examples,
        device: Device,
    ) -> Self {
        Trainer { model, examples, settings: scenario.training.clone(), free: None, device }
    }

    /// The same, that leaves the parameters as they are that lie where `frozen` says.
    ///
    /// # Errors
    /// If the GPU fails.
    pub(super) fn without(self, frozen: &[Range<usize>], dimension: usize) -> Result<Self, ModelError> {
        if frozen.is_empty() {
            return Ok(self);
        }
        let mut free = vec![1_u8; dimension];
        frozen.iter().for_each(|range| free[range.clone()].fill(0));
        let free = Tensor::from_vec(free, (1, dimension), &self.device)?;
        Ok(Trainer { free: Some(free), ..self })
    }

    /// Trains from the model `global`, `[d]`, with the minibatches that each of at least one device has `drawn`, and with
    /// the momentum of its earlier rounds, d values, if it has one.
    ///
    /// # Errors
    /// If candle or the GPU fails, as with too little memory.
    pub(super) fn train(
        &self,
        round: u32,
        global: &Tensor,
        drawn: &[Vec<Drawn>],
        momenta: &[Option<Arc<[f32]>>],
    ) -> Result<Trained, ModelError> {
        // A device with few examples has minibatches of another size.
        let sizes = |device: &[Drawn]| device.iter().map(|drawn| drawn.indices.len()).collect::<Vec<_>>();
        let mut order: Vec<usize> = (0..drawn.len()).collect();
        order.sort_by_key(|&device| sizes(&drawn[device]));
        let at_a_time = |alike: &[usize]| {
            let longest = sizes(&drawn[alike[0]]).into_iter().max().unwrap_or(0);
            together(self.model.values_at_a_time(), longest, self.examples.features())
        };
        let (mut models, mut losses, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let alike = order.chunk_by(|&a, &b| sizes(&drawn[a]) == sizes(&drawn[b]));
        for devices in alike.flat_map(|alike| alike.chunks(at_a_time(alike))) {
            let before: Vec<_> = devices.iter().map(|&device| momenta[device].as_deref()).collect();
            let devices: Vec<&[Drawn]> = devices.iter().map(|&device| &drawn[device][..]).collect();
            let trained = self.train_alike(round, global, &devices, &before)?;
            models.push(trained.models);
            losses.push(trained.losses);
            kept.extend(trained.momenta);
        }
        let mut places = vec![0_u32; order.len()];
        for (place, &device) in (0..).zip(&order) {
            places[device] = place;
        }
        let places = Tensor::new(places, &self.device)?;
        let in_order = |parts: &[Tensor]| {
            let joined = Tensor::cat(parts, 0)?;
            if order.is_sorted() { Ok(joined) } else { joined.index_select(&places, 0) }
        };
        Ok(Trained {
            models: in_order(&models)?,
            losses: in_order(&losses)?,
            momenta: if kept.is_empty() { None } else { Some(in_order(&kept)?) },
        })
    }

    /// The same for devices with as many minibatches each, of the same sizes. See [`learning::training::train`].
    fn train_alike(
        &self,
        round: u32,
        global: &Tensor,
        devices: &[&[Drawn]],
        momenta: &[Option<&[f32]>],
    ) -> Result<Trained, ModelError> {
        let Descent { learning_rate, weight_decay, momentum, gradient: added } =
            self.settings.descent(self.settings.learning_rate_in(round));
        let mut models = global.unsqueeze(0)?.repeat((devices.len(), 1))?;
        let mut kept = self.momenta(momenta, global.elem_count())?;
        let steps = devices.first().map_or(0, |steps| steps.len());
        let mut losses = Tensor::zeros(devices.len(), models.dtype(), &self.device)?;
        for step in 0..steps {
            let drawn: Vec<&Drawn> = devices.iter().map(|device| &device[step]).collect();
            let (examples, right) = self.examples.gather(&drawn)?;
            let (loss, mut direction) = self.model.loss_and_gradient(&models, &examples, &right)?;
            if weight_decay > 0.0 {
                direction = (direction + (&models * weight_decay)?)?;
            }
            if momentum > 0.0 {
                direction = (direction * added)?;
                if let Some(before) = &kept {
                    direction = ((before * momentum)? + direction)?;
                }
            }
            if let Some(free) = &self.free {
                // Whatever it is, what is frozen does not move; a product would keep what is not finite.
                let free = free.broadcast_as(direction.shape())?;
                direction = free.where_cond(&direction, &direction.zeros_like()?)?;
            }
            if momentum > 0.0 {
                kept = Some(direction.clone());
            }
            models = (models - (direction * learning_rate)?)?;
            losses = (losses + loss)?;
        }
        let momenta = kept.filter(|_| self.settings.keeps_momentum());
        Ok(Trained { models, losses: (losses / steps.max(1) as f64)?, momenta })
    }

    /// The momenta of devices, `[m, d]`, zeros where there is none; `None` if no device has any.
    fn momenta(&self, momenta: &[Option<&[f32]>], dimension: usize) -> Result<Option<Tensor>, ModelError> {
        if momenta.iter().all(Option::is_none) {
            return Ok(None);
        }
        let nothing = vec![0.0; dimension];
        let values: Vec<f32> = momenta.iter().flat_map(|it| it.unwrap_or(&nothing)).copied().collect();
        Ok(Some(Tensor::from_vec(values, (momenta.len(), dimension), &self.device)?))
    }
}

#[cfg(test)]
mod tests {
    use learning::data::{Batch, Dataset, Features};
    use learning::models::{self, Model, many_devices};
    use learning::random::{Purpose, stream};
    use learning::training::{Trained as Alone, train};

    use super::super::testing::device;
    use super::*;

    const CLASSES: usize = 4;

    fn scenario(model: &str, settings: &[&str]) -> Scenario {
        let text = format!("name = \"t\"\ndataset = \"mnist\"\nmodel = \"{model}\"\nrounds = 1\n");
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Scenario::parse("t.toml", &text, &settings).unwrap()
    }

    /// A hundred examples of no meaning.
    fn dataset(shape: &[usize]) -> Dataset {
        let features: usize = shape.iter().product();
        let value = |i: usize| ((i * 37 + i / features * 101 + i * i % 17) % 29) as f32 / 29.0;
        let features = Features::Floats((0..100 * features).map(value).collect());
        let labels = (0..100).map(|example| (example * 7 % 11 % CLASSES) as u16).collect();
        Dataset::new(shape.to_vec(), CLASSES, features, labels).unwrap()
    }

    fn trainer(name: &str, settings: &[&str], dataset: &Dataset) -> (Arc<dyn Model>, Trainer) {
        let (scenario, shape) = (scenario(name, settings), dataset.shape());
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
        let Trained { models, losses, .. } =
            trainer.train(1, &global, drawn, &vec![None; drawn.len()]).unwrap();
        (models.to_vec2().unwrap(), losses.to_vec1().unwrap())
    }

    /// What a device trains by itself in the first round, with the minibatches that it has `drawn`.
    fn train_alone(
        (model, trainer): &(Arc<dyn Model>, Trainer),
        dataset: &Dataset,
        global: &[f32],
        drawn: &[Drawn],
        momentum: Option<Arc<[f32]>>,
    ) -> Alone {
        let descent = trainer.settings.descent(trainer.settings.learning_rate_in(1));
        let minibatches = drawn.iter().map(|drawn| batch(dataset, drawn));
        train(&**model, global.into(), &descent, momentum, minibatches).unwrap()
    }

    /// That what was trained `together` has moved from `before` as what was trained `alone`, to so much of the largest move.
    fn assert_moved_alike(together: &[f32], alone: &[f32], before: &[f32], tolerance: f32) {
        let moved =
            |trained: &[f32]| -> Vec<f32> { trained.iter().zip(before).map(|(a, b)| a - b).collect() };
        let (together, alone) = (moved(together), moved(alone));
        let largest = alone.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        assert!(largest > 1e-4, "it has learnt something");
        for (place, (together, alone)) in together.iter().zip(&alone).enumerate() {
            assert!((together - alone).abs() <= tolerance * largest, "{place}: {together}, not {alone}");
        }
    }

    /// That devices trained as a batch end where each ends by itself, after so many steps to so much of the largest move.
    fn assert_trained_alike(name: &str, shape: &[usize], counts: &[usize], (steps, tolerance): (usize, f32)) {
        let dataset = dataset(shape);
        let own = trainer(name, &[], &dataset);
        let global = initial(&*own.0);
        let drawn = |(device, &count): (usize, &usize)| {
            (0..steps).map(|step| draw(&dataset, count, device * 3 + step)).collect()
        };
        let drawn: Vec<Vec<Drawn>> = counts.iter().enumerate().map(drawn).collect();
        let (models, losses) = train_batched(&own.1, &global, &drawn);
        for (device, (together, loss)) in models.iter().zip(losses).enumerate() {
            let alone = train_alone(&own, &dataset, &global, &drawn[device], None);
            assert!((loss - alone.loss).abs() < 1e-5, "{loss} {}", alone.loss);
            assert_moved_alike(together, &alone.parameters, &global, tolerance);
        }
    }

    #[test]
    fn momentum_and_weight_decay_of_many_devices_are_those_of_each() {
        let dataset = dataset(&[5, 3]);
        let decay = "training.weight-decay=0.1";
        for settings in [
            &[decay, "training.momentum=0.9"][..],
            &[decay, "training.momentum=0.9", "training.send=momentum"],
        ] {
            let own = trainer("logistic-regression", settings, &dataset);
            let global = initial(&*own.0);
            // Minibatches of two sizes, so that devices are trained in another order than theirs.
            let drawn =
                |device: usize| (0..3).map(|step| draw(&dataset, 6 - device % 2, device + step)).collect();
            let drawn: Vec<Vec<Drawn>> = (0..4).map(drawn).collect();
            let keeps = own.1.settings.keeps_momentum();
            let momentum = |device: usize| Some(vec![device as f32 / 50.0; global.len()].into());
            let momenta: Vec<_> =
                (0..4).map(|device| momentum(device).filter(|_| keeps && device > 0)).collect();
            let together =
                own.1.train(1, &Tensor::new(&global[..], device()).unwrap(), &drawn, &momenta).unwrap();
            assert_eq!(together.momenta.is_some(), keeps);
            for (device, momentum) in momenta.into_iter().enumerate() {
                let alone = train_alone(&own, &dataset, &global, &drawn[device], momentum);
                let row = |tensor: &Tensor| tensor.get(device).unwrap().to_vec1::<f32>().unwrap();
                assert_moved_alike(&row(&together.models), &alone.parameters, &global, 1e-4);
                if let Some(momenta) = &together.momenta {
                    let (nothing, expected) = (vec![0.0; global.len()], alone.momentum.unwrap());
                    assert_moved_alike(&row(momenta), &expected, &nothing, 1e-4);
                }
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
        let labels = (0..100).map(|example| (example * 7 % 11 % CLASSES) as u16).collect();
        let features = Features::Floats((0..100 * 784).map(pixel).collect());
        let dataset = Dataset::new(vec![28, 28], CLASSES, features, labels).unwrap();
        let own = trainer("resnet20", &[], &dataset);
        let (global, drawn) = (initial(&*own.0), [vec![draw(&dataset, 8, 0)]]);
        let alone = train_alone(&own, &dataset, &global, &drawn[0], None);
        let (together, _) = train_batched(&own.1, &global, &drawn);
        let apart = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
        };
        let (off, step) = (apart(&together[0], &alone.parameters), apart(&global, &alone.parameters));
        assert!(off <= 1e-4 * step, "off by {off:e}, of {step:e}");
    }

    #[test]
    fn what_overflows_is_blocked_as_in_the_model() {
        let dataset = dataset(&[13, 12]);
        let own = trainer("dnn", &[], &dataset);
        let mut global = initial(&*own.0);
        let layer = own.0.layout().entries().iter().find(|entry| entry.name == "fc1.weight").unwrap();
        // Some outputs of the layer are minus infinity then, and blocked.
        global[layer.range()].iter_mut().for_each(|value| *value = -3e38);
        let drawn = [vec![draw(&dataset, 5, 1)]];
        let alone = train_alone(&own, &dataset, &global, &drawn[0], None);
        let (models, losses) = train_batched(&own.1, &global, &drawn);
        assert!(alone.loss.is_finite() && (losses[0] - alone.loss).abs() < 1e-5, "{losses:?}");
        for (together, alone) in models[0].iter().zip(&*alone.parameters) {
            assert!((together - alone).abs() <= 1e-5, "{together}, not {alone}");
        }
    }

    #[test]
    fn without_a_step_devices_have_the_model_that_they_got() {
        let (_, trainer) = trainer("logistic-regression", &[], &dataset(&[2]));
        let global: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let (models, losses) = train_batched(&trainer, &global, &[vec![], vec![]]);
        assert_eq!((models, losses), (vec![global.clone(), global], vec![0.0; 2]));
    }
}
