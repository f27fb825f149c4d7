//! Any model for many devices: it computes for each of them separately, on the processors, for several at a time.

use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;
use rayon::prelude::*;

use super::ManyDevices;
use crate::data::{Batch, Features};
use crate::models::{Model, ModelError};

/// A model that has no form of its own for many devices.
pub(super) struct OneByOne {
    model: Arc<dyn Model>,
    /// Shape of an example.
    shape: Vec<usize>,
}

impl OneByOne {
    /// `model`, which takes examples of `shape`.
    pub(super) fn new(model: Arc<dyn Model>, shape: &[usize]) -> Self {
        OneByOne { model, shape: shape.to_vec() }
    }

    /// What `compute` makes of each device's parameters, `[m, d]`, and of its `examples`, `[m, n, features]`, with these
    /// `labels`.
    fn each<T: Send>(
        &self,
        parameters: &Tensor,
        examples: &Tensor,
        labels: Vec<Vec<u32>>,
        compute: impl Fn(&[f32], &Batch) -> Result<T, ModelError> + Sync,
    ) -> Result<Vec<T>, ModelError> {
        let examples = examples.flatten_from(1)?.to_vec2::<f32>()?;
        let of_device = |(parameters, (features, labels)): (Vec<f32>, (Vec<f32>, Vec<u32>))| {
            let batch = Batch { features: Features::Floats(features), shape: self.shape.clone(), labels };
            compute(&parameters, &batch)
        };
        let examples = examples.into_par_iter().zip(labels);
        parameters.to_vec2::<f32>()?.into_par_iter().zip(examples).map(of_device).collect()
    }
}

impl ManyDevices for OneByOne {
    fn loss_and_gradient(
        &self,
        parameters: &Tensor,
        examples: &Tensor,
        right: &Tensor,
    ) -> Result<(Tensor, Tensor), ModelError> {
        let labels = right.argmax(2)?.to_vec2::<u32>()?;
        let learn = |parameters: &[f32], batch: &Batch| self.model.loss_and_gradient(parameters, batch);
        let learnt = self.each(parameters, examples, labels, learn)?;
        let (losses, gradients): (Vec<_>, Vec<_>) = learnt.into_iter().unzip();
        let gradients = Tensor::from_vec(gradients.concat(), parameters.shape(), parameters.device())?;
        Ok((Tensor::new(losses, parameters.device())?, gradients))
    }

    fn logits(&self, parameters: &Tensor, examples: &Tensor) -> Result<Tensor, ModelError> {
        let (devices, count, _) = examples.dims3()?;
        // Logits hang on no label.
        let labels = vec![vec![0; count]; devices];
        let classify = |parameters: &[f32], batch: &Batch| self.model.logits(parameters, batch);
        let logits = self.each(parameters, examples, labels, classify)?.concat();
        Ok(Tensor::from_vec(logits, (devices, count, ()), parameters.device())?)
    }
}

impl fmt::Debug for OneByOne {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one device after the other, for {:?}", self.shape)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::models::LogisticRegression;
    use crate::models::build;
    use crate::models::gradient_check::random_tensor;

    fn random(shape: &[usize], seed: u64) -> Tensor {
        random_tensor(shape, seed).to_dtype(DType::F32).unwrap()
    }

    fn assert_close(a: &Tensor, b: &Tensor) {
        assert_eq!(a.dims(), b.dims());
        let off = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(off < 1e-6, "off by {off}");
    }

    #[test]
    fn each_device_gets_what_a_form_for_many_gives_it() {
        let model: Arc<dyn Model> = build(&LogisticRegression {}, &[3, 5], 4).unwrap().into();
        let (alone, many) = (OneByOne::new(model.clone(), &[3, 5]), model.many_devices().unwrap());
        let (parameters, examples) = (random(&[6, 64], 1), random(&[6, 7, 15], 2));
        let labels: Vec<u32> = (0..42).map(|example| example * 5 % 11 % 4).collect();
        let labels = Tensor::from_vec(labels, (6, 7, 1), &Device::Cpu).unwrap();
        let classes = Tensor::arange(0_u32, 4, &Device::Cpu).unwrap();
        let right = labels.broadcast_eq(&classes).unwrap().to_dtype(DType::F32).unwrap();
        let (loss, gradient) = alone.loss_and_gradient(&parameters, &examples, &right).unwrap();
        let (expected_loss, expected_gradient) =
            many.loss_and_gradient(&parameters, &examples, &right).unwrap();
        assert_close(&loss, &expected_loss);
        assert_close(&gradient, &expected_gradient);
        assert_close(
            &alone.logits(&parameters, &examples).unwrap(),
            &many.logits(&parameters, &examples).unwrap(),
        );
    }
}
