//! Local training of all devices of a round as one batch, by candle: on a GPU, or on the processors.
//!
//! Sums are taken in another order than where each device trains by itself, so models are the same within rounding only.
//!
//! # Layout
//! - This file: [`Trainer`], from minibatches to models.
//! - `evaluator.rs`: models that are evaluated in the same place.
//! - `network.rs`: the networks of all devices; `layers.rs`: what those are made of.

mod evaluator;
mod layers;
mod network;

use std::sync::Arc;

use aggregator_node::evaluator::Evaluators;
use anyhow::{Context, bail};
use candle_core::{Device, Tensor};
use shared::data::Batch;
use shared::models::Model;
use shared::parameters::Layout;
use shared::scenario::Scenario;
use shared::training::Trained;

use evaluator::Evaluating;
use network::Network;

/// Devices trained at a time.
const DEVICES: usize = 100;

/// Values of the examples that are worked on at a time, which bounds the memory of convolutions: 700 MB with the paper's
/// network and minibatches of 32 from MNIST.
const VALUES: usize = DEVICES * 32 * 28 * 28;

/// How many models may be worked on at a time with so many `examples` each, of so many `features`.
fn together(values: usize, examples: usize, features: usize) -> usize {
    (values / (examples * features).max(1)).clamp(1, DEVICES)
}

/// Trains the devices of a run.
#[derive(Clone, Debug)]
pub(super) struct Trainer {
    network: Network,
    classes: usize,
    learning_rate: f64,
    device: Device,
}

/// What one device trains: from which model, d values, and with which minibatch in each step.
pub(super) struct Local {
    pub(super) global: Arc<[f32]>,
    pub(super) minibatches: Vec<Batch>,
}

impl Trainer {
    /// Trains the scenario's model, for examples of `shape` in `classes` classes, on `device`.
    ///
    /// # Errors
    /// If the model cannot be trained so.
    pub(super) fn new(
        scenario: &Scenario,
        model: &dyn Model,
        (shape, classes): (&[usize], usize),
        device: Device,
    ) -> anyhow::Result<Self> {
        let name = scenario.model;
        let Some(network) = Network::of(name, model, shape) else {
            bail!("model {name} cannot be trained with --batched: leave that out");
        };
        Ok(Trainer { network, classes, learning_rate: scenario.training.learning_rate, device })
    }

    /// The scenario's model of this `layout`, evaluated on the trainer's device.
    pub(super) fn evaluators(&self, layout: Arc<Layout>) -> Box<dyn Evaluators> {
        Box::new(Evaluating {
            network: self.network.clone(),
            layout,
            device: self.device.clone(),
            values: VALUES,
        })
    }

    /// Trains all of `locals`, which take as many steps.
    ///
    /// # Errors
    /// If candle or the GPU fails, as with too little memory.
    pub(super) fn train(&self, locals: &[Local]) -> anyhow::Result<Vec<Trained>> {
        // A device with few examples has minibatches of another size.
        let alike = |a: &Local, b: &Local| {
            let sizes = |local: &Local| local.minibatches.iter().map(Batch::len).collect::<Vec<_>>();
            sizes(a) == sizes(b)
        };
        let mut trained = Vec::with_capacity(locals.len());
        let features = self.network.features();
        let at_a_time = |alike: &[Local]| {
            let longest = alike[0].minibatches.iter().map(Batch::len).max().unwrap_or(0);
            together(VALUES, longest, features)
        };
        for locals in locals.chunk_by(alike).flat_map(|alike| alike.chunks(at_a_time(alike))) {
            trained.extend(
                self.train_alike(locals).context("the devices of a round cannot be trained as a batch")?,
            );
        }
        Ok(trained)
    }

    fn train_alike(&self, locals: &[Local]) -> candle_core::Result<Vec<Trained>> {
        let mut parameters = self.models(locals)?;
        let steps = locals.first().map_or(0, |local| local.minibatches.len());
        let mut losses = Tensor::zeros(locals.len(), parameters.dtype(), &self.device)?;
        for step in 0..steps {
            let batches: Vec<&Batch> = locals.iter().map(|local| &local.minibatches[step]).collect();
            let (examples, right) = self.examples(&batches)?;
            let (loss, gradient) = self.network.loss_and_gradient(&parameters, &examples, &right)?;
            parameters = (parameters - (gradient * self.learning_rate)?)?;
            losses = (losses + loss)?;
        }
        let losses = (losses / steps.max(1) as f64)?.to_vec1::<f32>()?;
        let models = parameters.to_vec2::<f32>()?.into_iter();
        Ok(models.zip(losses).map(|(values, loss)| Trained { parameters: values.into(), loss }).collect())
    }

    /// The models that devices start from, `[m, d]`: most often one and the same.
    fn models(&self, locals: &[Local]) -> candle_core::Result<Tensor> {
        let row = |local: &Local| Tensor::from_slice(&local.global, (1, local.global.len()), &self.device);
        match locals {
            [first, others @ ..] if others.iter().all(|other| Arc::ptr_eq(&first.global, &other.global)) => {
                row(first)?.repeat((locals.len(), 1))
            }
            _ => Tensor::cat(&locals.iter().map(row).collect::<candle_core::Result<Vec<_>>>()?, 0),
        }
    }

    /// The examples of all, `[m, n, features]`, and ones at their classes, `[m, n, classes]`.
    fn examples(&self, batches: &[&Batch]) -> candle_core::Result<(Tensor, Tensor)> {
        let (devices, count) = (batches.len(), batches.first().map_or(0, |batch| batch.len()));
        let values: Vec<f32> =
            batches.iter().flat_map(|batch| batch.features.to_floats().into_owned()).collect();
        let mut right = vec![0.0_f32; devices * count * self.classes];
        let labels = batches.iter().flat_map(|batch| &batch.labels);
        for (ones, &label) in right.chunks_exact_mut(self.classes).zip(labels) {
            if let Some(one) = ones.get_mut(label as usize) {
                *one = 1.0;
            }
        }
        let features = values.len() / (devices * count).max(1);
        Ok((
            Tensor::from_vec(values, (devices, count, features), &self.device)?,
            Tensor::from_vec(right, (devices, count, self.classes), &self.device)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use shared::data::Features;
    use shared::models::{self, ModelName};
    use shared::random::{Purpose, stream};
    use shared::training::train;

    use super::*;

    fn scenario(model: ModelName) -> Scenario {
        let text = format!("name = \"t\"\ndataset = \"mnist\"\nmodel = \"{model}\"\nrounds = 1\n");
        Scenario::parse("t.toml", &text, &[]).unwrap()
    }

    /// Examples of no meaning, others for each device and step.
    fn batch(shape: &[usize], classes: usize, count: usize, seed: usize) -> Batch {
        let features: usize = shape.iter().product();
        let value = |i: usize| ((i * 37 + seed * 101 + i * i % 17) % 29) as f32 / 29.0;
        Batch {
            features: Features::Floats((0..count * features).map(value).collect()),
            shape: shape.to_vec(),
            labels: (0..count).map(|i| ((i + seed) % classes) as u32).collect(),
        }
    }

    /// That devices trained as a batch end where each ends by itself, to a few units in the last place of the step.
    fn assert_trained_alike(name: ModelName, shape: &[usize], counts: &[usize]) {
        let classes = 4;
        let model = models::build(name, shape, classes).unwrap();
        let device = Device::Cpu;
        let trainer = Trainer::new(&scenario(name), model.as_ref(), (shape, classes), device).unwrap();
        let global: Arc<[f32]> = model.initial(&mut stream(3, Purpose::Weights, None, 0)).values().into();
        let rate = trainer.learning_rate as f32;
        let local = |(device, &count): (usize, &usize)| Local {
            global: global.clone(),
            minibatches: (0..3).map(|step| batch(shape, classes, count, device * 3 + step)).collect(),
        };
        let locals: Vec<Local> = counts.iter().enumerate().map(local).collect();
        let together = trainer.train(&locals).unwrap();
        for (local, together) in locals.iter().zip(&together) {
            let alone =
                train(model.as_ref(), global.clone(), rate, 3, |step| local.minibatches[step].clone())
                    .unwrap();
            assert!((together.loss - alone.loss).abs() < 1e-5, "{} {}", together.loss, alone.loss);
            let moved =
                |trained: &[f32]| -> Vec<f32> { trained.iter().zip(&*global).map(|(a, b)| a - b).collect() };
            let (together, alone) = (moved(&together.parameters), moved(&alone.parameters));
            let largest = alone.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(largest > 1e-4, "it has learnt something");
            for (place, (together, alone)) in together.iter().zip(&alone).enumerate() {
                assert!((together - alone).abs() <= 1e-4 * largest, "{place}: {together}, not {alone}");
            }
        }
    }

    #[test]
    fn logistic_regression_of_many_devices_learns_what_each_would() {
        assert_trained_alike(ModelName::LogisticRegression, &[5, 3], &[6, 6, 4, 6]);
    }

    #[test]
    fn the_dnn_of_many_devices_learns_what_each_would() {
        // Sides that leave an odd row and an odd column to the poolings.
        assert_trained_alike(ModelName::Dnn, &[13, 12], &[5, 5, 5]);
        assert_trained_alike(ModelName::Dnn, &[7], &[5, 2]);
    }

    #[test]
    fn memory_bounds_how_many_are_worked_on_at_a_time() {
        assert_eq!(together(VALUES, 32, 28 * 28), DEVICES);
        assert_eq!(together(VALUES, 1, 1), DEVICES, "models take memory, too");
        assert_eq!(together(VALUES, 500, 28 * 28), 6);
        assert_eq!(together(VALUES, 32, 64 * 64), 19);
        assert_eq!(together(VALUES, 10_000, 64 * 64), 1);
        assert_eq!(together(VALUES, 0, 0), DEVICES);
    }

    #[test]
    fn what_overflows_is_blocked_as_in_the_model() {
        let (shape, classes) = (&[13, 12][..], 4);
        let model = models::build(ModelName::Dnn, shape, classes).unwrap();
        let trainer =
            Trainer::new(&scenario(ModelName::Dnn), model.as_ref(), (shape, classes), Device::Cpu).unwrap();
        let mut global = model.initial(&mut stream(3, Purpose::Weights, None, 0)).values().to_vec();
        let layer = model.layout().entries().iter().find(|entry| entry.name == "fc1.weight").unwrap();
        // Some outputs of the layer are minus infinity then, and blocked.
        global[layer.range()].iter_mut().for_each(|value| *value = -3e38);
        let local = Local { global: global.into(), minibatches: vec![batch(shape, classes, 5, 1)] };
        let rate = trainer.learning_rate as f32;
        let minibatch = |_| local.minibatches[0].clone();
        let alone = train(model.as_ref(), local.global.clone(), rate, 1, minibatch).unwrap();
        let together = trainer.train(std::slice::from_ref(&local)).unwrap();
        assert!(alone.loss.is_finite() && (together[0].loss - alone.loss).abs() < 1e-5, "{together:?}");
        for (together, alone) in together[0].parameters.iter().zip(&*alone.parameters) {
            assert!((together - alone).abs() <= 1e-5, "{together}, not {alone}");
        }
    }

    #[test]
    fn a_model_that_cannot_be_trained_so_is_refused_by_name() {
        let model = models::build(ModelName::ResNet20, &[16, 16], 4).unwrap();
        let refused =
            Trainer::new(&scenario(ModelName::ResNet20), model.as_ref(), (&[16, 16], 4), Device::Cpu);
        assert!(refused.unwrap_err().to_string().contains("model resnet20 cannot be trained with --batched"));
    }

    #[test]
    fn no_devices_and_no_steps_are_nothing_to_do() {
        let model = models::build(ModelName::LogisticRegression, &[2], 2).unwrap();
        let name = ModelName::LogisticRegression;
        let trainer = Trainer::new(&scenario(name), model.as_ref(), (&[2], 2), Device::Cpu).unwrap();
        assert_eq!(trainer.train(&[]).unwrap(), []);
        let local = Local { global: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].into(), minibatches: vec![] };
        let models = trainer.train(std::slice::from_ref(&local)).unwrap();
        assert_eq!(models, [Trained { parameters: local.global, loss: 0.0 }]);
    }
}
