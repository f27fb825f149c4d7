//! Gradients against central finite differences, in 64 bits.

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::seq::index::sample;
use rand::{Rng, SeedableRng};

use super::classifier::{Classifier, Network};
use super::{Model, layers};
use crate::data::{Batch, Features};
use crate::random::Stream;

const STEP: f64 = 1e-6;
/// Smaller where a step may pass the kinks of thousands of rectifiers.
const MODEL_STEP: f64 = 1e-7;

/// A 64-bit tensor of values in [-1, 1).
pub(super) fn random_tensor(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Stream::seed_from_u64(seed);
    let values = (0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0));
    Tensor::from_vec(values.collect::<Vec<f64>>(), shape, &Device::Cpu).unwrap()
}

/// The values of a 64-bit tensor, in order.
pub(super) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Checks that two 64-bit tensors have one shape and the same values but for rounding.
pub(super) fn assert_close(tensor: &Tensor, expected: &Tensor) {
    assert_eq!(tensor.dims(), expected.dims());
    for (value, expected) in values(tensor).iter().zip(values(expected)) {
        assert!((value - expected).abs() < 1e-12, "{value} instead of {expected}");
    }
}

/// `examples` examples of features in [-1, 1), the labels in turn.
pub(super) fn random_batch(shape: &[usize], classes: u32, examples: usize) -> Batch {
    let features = random_tensor(&[&[examples], shape].concat(), 17).flatten_all().unwrap();
    let features = features.to_dtype(DType::F32).unwrap().to_vec1().unwrap();
    let features = Features::Floats(features);
    Batch { features, shape: shape.to_vec(), labels: (0..classes).cycle().take(examples).collect() }
}

/// Checks each derivative of a weighted sum of what `layer` computes from 64-bit `inputs`.
pub(super) fn assert_gradient(inputs: &[Tensor], layer: impl Fn(&[Tensor]) -> Result<Tensor>) {
    // Weights, because the derivatives of a plain sum hide what is exchanged for what.
    let weighted = |inputs: &[Tensor]| {
        let output = layer(inputs)?;
        (&output * random_tensor(output.dims(), 99))?.sum_all()
    };
    let variables: Vec<Var> = inputs.iter().map(|input| Var::from_tensor(input).unwrap()).collect();
    let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let gradients = weighted(&tensors).unwrap().backward().unwrap();
    for (i, tensor) in tensors.iter().enumerate() {
        for (j, derivative) in values(gradients.get(tensor).unwrap()).into_iter().enumerate() {
            let expected = central_difference(inputs, i, j, STEP, &weighted);
            assert!(
                (derivative - expected).abs() <= 1e-7 * (1.0 + expected.abs()),
                "value {j} of input {i}: {derivative} instead of {expected}"
            );
        }
    }
}

/// Checks the gradient of a model at some values of each of its tensors, in 64 bits; and that the one it hands
/// out, in 32 bits and flat, is the same but for rounding, which may turn a rectifier or two on or off.
pub(super) fn assert_model_gradient<N: Network>(model: &Classifier<N>, batch: &Batch) {
    let mut random = Stream::seed_from_u64(5);
    // Near where training starts: there no normalisation divides by next to nothing.
    let mut parameters = model.initial(&mut random).values().to_vec();
    for value in &mut parameters {
        *value += random.random_range(-0.1..0.1);
    }
    let (loss, gradient) = model.loss_and_gradient(&parameters, batch).unwrap();

    let precise = |tensors: &[Tensor]| layers::cross_entropy(&model.forward(tensors, batch)?, &batch.labels);
    let tensors = model.tensors(&parameters).unwrap();
    let variables = tensors.iter().map(|tensor| Var::from_tensor(&tensor.to_dtype(DType::F64).unwrap()));
    let tensors: Vec<Tensor> = variables.map(|variable| variable.unwrap().into_inner()).collect();
    let expected_loss = precise(&tensors).unwrap();
    let expected_gradients = expected_loss.backward().unwrap();
    let expected_loss = expected_loss.to_scalar::<f64>().unwrap();
    assert!((f64::from(loss) - expected_loss).abs() < 1e-4, "loss {loss} instead of {expected_loss}");

    let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    // A check is two forward passes.
    let samples = (64 / tensors.len()).max(2);
    let constants: Vec<Tensor> = tensors.iter().map(Tensor::detach).collect();
    for (i, entry) in model.layout().entries().iter().enumerate() {
        let derivatives = values(expected_gradients.get(&tensors[i]).unwrap());
        let scale = derivatives.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        assert!(scale > 0.0, "{}: nothing to check", entry.name);
        for j in sample(&mut random, entry.len(), entry.len().min(samples)) {
            let (derivative, expected) =
                (derivatives[j], central_difference(&constants, i, j, MODEL_STEP, &precise));
            assert!(
                (derivative - expected).abs() <= 1e-5 * scale,
                "{} at {j}: {derivative} instead of {expected}",
                entry.name
            );
        }
        let rounding: Vec<f64> = gradient[entry.range()]
            .iter()
            .zip(&derivatives)
            .map(|(&value, exact)| f64::from(value) - exact)
            .collect();
        let (error, length) = (norm(&rounding), norm(&derivatives));
        assert!(error <= 0.02 * length, "{}: off by {error} of {length} in 32 bits", entry.name);
    }
}

/// The derivative of the scalar `function` by value `j` of `inputs[i]`.
fn central_difference(
    inputs: &[Tensor],
    i: usize,
    j: usize,
    step: f64,
    function: &impl Fn(&[Tensor]) -> Result<Tensor>,
) -> f64 {
    let at = |step: f64| {
        let mut values = values(&inputs[i]);
        values[j] += step;
        let mut inputs = inputs.to_vec();
        inputs[i] = Tensor::from_vec(values, inputs[i].shape(), &Device::Cpu).unwrap();
        function(&inputs).unwrap().to_scalar::<f64>().unwrap()
    };
    (at(step) - at(-step)) / (2.0 * step)
}
