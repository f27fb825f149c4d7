//! A network on candle as a [`Model`].

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};

use super::input::Input;
use super::operands::with_values;
use super::{ManyDevices, Model, ModelError, layers};
use crate::data::Batch;
use crate::parameters::{Entry, Layout, Parameters};
use crate::random::Stream;

/// What tells one network from another. It is differentiated by candle, on the processors.
pub trait Network: Send + Sync {
    /// Logits `[batch, classes]` of `input`, which is `[batch, ..shape of one example]`, under `parameters`,
    /// the tensors of the layout in its order.
    ///
    /// # Errors
    /// If candle fails.
    fn forward(&self, parameters: &[Tensor], input: &Tensor) -> candle_core::Result<Tensor>;

    /// What the last layer takes of `input`, `[batch, values]`: by default the logits.
    ///
    /// # Errors
    /// If candle fails.
    fn represent(&self, parameters: &[Tensor], input: &Tensor) -> candle_core::Result<Tensor> {
        self.forward(parameters, input)
    }

    /// Draws the initial values of one tensor into `values`, which are zeros, and stay so by default.
    fn initialize(&self, _entry: &Entry, _values: &mut [f32], _random: &mut Stream) {}

    /// The form for many devices at once, with parameters of this layout and for examples of `shape`, if there is one.
    fn many_devices(&self, _layout: &Layout, _shape: &[usize]) -> Option<Box<dyn ManyDevices>> {
        None
    }
}

/// A network, the parameters it needs and the examples it takes: a [`Model`].
pub struct Classifier<N> {
    network: N,
    layout: Arc<Layout>,
    input: Input,
}

impl<N: Network> Classifier<N> {
    /// Joins a network with the `layout` of its parameters, the `shape` of one example and its classes.
    pub fn new(network: N, layout: Layout, shape: &[usize], classes: usize) -> Self {
        Classifier { network, layout: Arc::new(layout), input: Input { shape: shape.to_vec(), classes } }
    }

    /// The parts of a flat vector that has passed [`Layout::check`], in layout order.
    pub(super) fn tensors(&self, parameters: &[f32]) -> candle_core::Result<Vec<Tensor>> {
        self.parts(parameters, |values, shape| Tensor::from_slice(values, shape, &Device::Cpu))
    }

    /// What `tensor` makes of the values and the shape of each.
    fn parts(
        &self,
        parameters: &[f32],
        tensor: impl Fn(&[f32], &[usize]) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Vec<Tensor>> {
        let part = |e: &Entry| tensor(&parameters[e.range()], &e.shape);
        self.layout.entries().iter().map(part).collect()
    }

    /// Logits `[batch, classes]` of a batch that has passed [`Input::check`].
    pub(super) fn forward(&self, parameters: &[Tensor], batch: &Batch) -> candle_core::Result<Tensor> {
        self.network.forward(parameters, &self.examples(parameters, batch)?)
    }

    fn examples(&self, parameters: &[Tensor], batch: &Batch) -> candle_core::Result<Tensor> {
        let shape = [&[batch.labels.len()], self.input.shape.as_slice()].concat();
        let input = Tensor::from_slice(&batch.features.to_floats(), shape, &Device::Cpu)?;
        // Training has 32 bits; 64 serve to check gradients.
        input.to_dtype(parameters[0].dtype())
    }
}

impl<N: Network> Model for Classifier<N> {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn initial(&self, random: &mut Stream) -> Parameters {
        let mut parameters = Parameters::zeros(self.layout.clone());
        for entry in self.layout.entries() {
            let values = &mut parameters.values_mut()[entry.range()];
            self.network.initialize(entry, values, random);
        }
        parameters
    }

    fn loss_and_gradient(&self, parameters: &[f32], batch: &Batch) -> Result<(f32, Vec<f32>), ModelError> {
        self.input.check(&self.layout, parameters, batch)?;
        let tensors = self.parts(parameters, |values, shape| {
            Var::from_slice(values, shape, &Device::Cpu).map(Var::into_inner)
        })?;

        let loss = layers::cross_entropy(&self.forward(&tensors, batch)?, &batch.labels)?;
        let gradients = loss.backward()?;
        let mut gradient = Vec::with_capacity(self.layout.dimension());
        for (tensor, entry) in tensors.iter().zip(self.layout.entries()) {
            match gradients.get(tensor) {
                Some(part) => with_values(part, |values| {
                    gradient.extend_from_slice(values);
                    Ok(())
                })?,
                // The loss does not depend on it.
                None => gradient.resize(entry.range().end, 0.0),
            }
        }
        Ok((loss.to_scalar()?, gradient))
    }

    fn logits(&self, parameters: &[f32], batch: &Batch) -> Result<Vec<f32>, ModelError> {
        self.input.check(&self.layout, parameters, batch)?;
        let tensors = self.tensors(parameters)?;
        Ok(self.forward(&tensors, batch)?.flatten_all()?.to_vec1()?)
    }

    fn representations(&self, parameters: &[f32], batch: &Batch) -> Result<Vec<f32>, ModelError> {
        self.input.check(&self.layout, parameters, batch)?;
        let tensors = self.tensors(parameters)?;
        let represented = self.network.represent(&tensors, &self.examples(&tensors, batch)?)?;
        Ok(represented.flatten_all()?.to_vec1()?)
    }

    fn many_devices(&self) -> Option<Box<dyn ManyDevices>> {
        self.network.many_devices(&self.layout, &self.input.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::super::gradient_check::random_batch;
    use super::super::tests::ALL;
    use super::*;
    use crate::data::Features;
    use crate::random::{Purpose, stream};
    use wire::identity::Digest;

    #[test]
    fn a_batch_that_does_not_fit_is_named() {
        for architecture in ALL {
            let model = build(architecture, &[16, 16], 2).unwrap();
            let parameters = vec![0.0; model.layout().dimension()];
            let refusal = |parameters: &[f32], features: usize, shape: &[usize], labels: &[u32]| {
                let batch = Batch {
                    features: Features::Floats(vec![0.0; features]),
                    shape: shape.to_vec(),
                    labels: labels.to_vec(),
                };
                let refused = model.loss_and_gradient(parameters, &batch).unwrap_err();
                assert_eq!(refused.to_string(), model.logits(parameters, &batch).unwrap_err().to_string());
                refused
            };
            let shape = &[16, 16];
            assert!(matches!(refusal(&parameters[1..], 256, shape, &[0]), ModelError::Parameters(_)));
            assert!(matches!(refusal(&parameters, 256, &[256], &[0]), ModelError::BatchShape { .. }));
            assert!(matches!(refusal(&parameters, 257, shape, &[0]), ModelError::BatchLength { .. }));
            assert!(matches!(refusal(&parameters, 0, shape, &[]), ModelError::Empty));
            let label = refusal(&parameters, 512, shape, &[1, 2]);
            assert!(matches!(label, ModelError::Label { example: 1, label: 2, classes: 2 }), "{label}");
        }
    }

    #[test]
    fn parameters_that_are_not_finite_give_values_that_are_not_finite() {
        for architecture in ALL {
            let model = build(architecture, &[16, 16], 3).unwrap();
            let batch = random_batch(&[16, 16], 3, 2);
            for value in [f32::NAN, f32::INFINITY, f32::MAX] {
                let parameters = vec![value; model.layout().dimension()];
                let (loss, gradient) = model.loss_and_gradient(&parameters, &batch).unwrap();
                assert!(!loss.is_finite(), "{architecture:?} {value}");
                assert_eq!(gradient.len(), parameters.len());
                assert_eq!(model.logits(&parameters, &batch).unwrap().len(), 6);
            }
        }
    }

    /// Logits are a linear function of what the last layer takes.
    #[test]
    fn the_last_layer_makes_logits_of_the_representations() {
        for architecture in ALL {
            let (shape, classes, examples) = (&[16, 16], 3, 2);
            let model = build(architecture, shape, classes).unwrap();
            let parameters = model.initial(&mut stream(1, Purpose::Weights, None, 0)).values().to_vec();
            let batch = random_batch(shape, classes as u32, examples);
            let represented = model.representations(&parameters, &batch).unwrap();
            let logits = model.logits(&parameters, &batch).unwrap();
            let width = represented.len() / examples;
            if width == classes {
                assert_eq!(represented, logits, "{architecture:?}");
                continue;
            }
            let (weights, bias) = parameters.split_at(parameters.len() - classes);
            let weights = &weights[weights.len() - classes * width..];
            for (place, logit) in logits.iter().enumerate() {
                let (row, class) = (place / classes, place % classes);
                let values = represented[row * width..][..width].iter().zip(&weights[class * width..]);
                let expected: f32 = values.map(|(value, weight)| value * weight).sum::<f32>() + bias[class];
                assert!((logit - expected).abs() < 1e-4, "{architecture:?}: {logit}, not {expected}");
            }
        }
    }

    /// Not a check of its own: prints what the next test compares, for it to run in processes of its own,
    /// because candle reads the number of threads from the environment, once for each process.
    #[test]
    #[ignore = "run by `the_number_of_threads_does_not_change_a_bit`"]
    fn digest_of_gradients() {
        for architecture in ALL {
            let model = build(architecture, &[28, 28], 10).unwrap();
            let parameters = model.initial(&mut stream(1, Purpose::Weights, None, 0));
            let batch = random_batch(&[28, 28], 10, 8);
            let (loss, gradient) = model.loss_and_gradient(parameters.values(), &batch).unwrap();
            let bytes: Vec<u8> = gradient.iter().flat_map(|value| value.to_le_bytes()).collect();
            println!("digest {architecture:?} {loss} {}", Digest::of(&bytes));
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let digests = |threads: &str| {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["digest_of_gradients", "--ignored", "--nocapture"])
                .env("RAYON_NUM_THREADS", threads)
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let digest = |line: &str| line.find("digest ").map(|start| line[start..].to_owned());
            text.lines().filter_map(digest).collect::<Vec<_>>()
        };
        let one = digests("1");
        assert_eq!(one.len(), ALL.len());
        assert_eq!(one, digests("2"));
        assert_eq!(one, digests("5"));
    }
}
