//! Multi-class logistic regression with the derivatives that a back-gradient needs, in closed form and `f64`: the
//! hypergradient is a long sum of small differences.

use learning::data::Batch;
use rayon::prelude::*;

/// Examples summed up by one thread. Fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 128;

/// One labelled example.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Example {
    pub(super) features: Vec<f64>,
    pub(super) label: usize,
}

/// The examples of `batch`, one by one.
pub(super) fn examples(batch: &Batch) -> Vec<Example> {
    let width = batch.shape.iter().product();
    let features = batch.features.to_floats();
    features
        .chunks_exact(width)
        .zip(&batch.labels)
        .map(|(row, &label)| Example {
            features: row.iter().copied().map(f64::from).collect(),
            label: label as usize,
        })
        .collect()
}

/// The model: for each feature a row of one weight per class, and a last row of biases; (features + 1) x classes
/// parameters. With z the logits, p = softmax(z) and y the label as one-hot vector, the loss is cross-entropy.
#[derive(Clone, Copy, Debug)]
pub(super) struct SoftmaxRegression {
    pub(super) features: usize,
    pub(super) classes: usize,
}

impl SoftmaxRegression {
    /// Number of parameters.
    pub(super) fn dimension(self) -> usize {
        (self.features + 1) * self.classes
    }

    /// Mean loss of `examples`.
    #[cfg(test)]
    pub(super) fn loss(self, parameters: &[f64], examples: &[Example]) -> f64 {
        let loss = |example: &Example| {
            -softmax(self.logits(parameters, &example.features))[example.label].max(f64::MIN_POSITIVE).ln()
        };
        examples.iter().map(loss).sum::<f64>() / examples.len() as f64
    }

    /// Sum over `examples` of the gradient of the loss: (p - y) x^T.
    pub(super) fn gradient(self, parameters: &[f64], examples: &[Example]) -> Vec<f64> {
        self.sum(examples, |example| residual(&softmax(self.logits(parameters, &example.features)), example))
    }

    /// Sum over `examples` of the Hessian of the loss times `direction` (of the shape of the parameters):
    /// (J u) x^T, where u is the change of the logits in that direction and J that of p with z.
    pub(super) fn hessian_vector(
        self,
        parameters: &[f64],
        direction: &[f64],
        examples: &[Example],
    ) -> Vec<f64> {
        self.sum(examples, |example| {
            let probabilities = softmax(self.logits(parameters, &example.features));
            softmax_change(&probabilities, &self.logits(direction, &example.features))
        })
    }

    /// The gradient of (gradient of the loss of `example`) . `direction` with respect to the example's features.
    pub(super) fn mixed_derivative(
        self,
        parameters: &[f64],
        direction: &[f64],
        example: &Example,
    ) -> Vec<f64> {
        let probabilities = softmax(self.logits(parameters, &example.features));
        let change = softmax_change(&probabilities, &self.logits(direction, &example.features));
        let residual = residual(&probabilities, example);
        let rows = parameters.chunks_exact(self.classes).zip(direction.chunks_exact(self.classes));
        rows.take(self.features)
            .map(|(weights, direction)| dot(&change, weights) + dot(&residual, direction))
            .collect()
    }

    /// One value per class.
    fn logits(self, parameters: &[f64], features: &[f64]) -> Vec<f64> {
        let (weights, biases) = parameters.split_at(self.features * self.classes);
        let mut logits = biases.to_vec();
        for (&feature, row) in features.iter().zip(weights.chunks_exact(self.classes)) {
            // Four of five pixels of a digit are black.
            if feature != 0.0 {
                add_scaled(&mut logits, feature, row);
            }
        }
        logits
    }

    /// Sum over `examples` of the outer product of their features (and 1 for the bias) with `of_logits`.
    fn sum(self, examples: &[Example], of_logits: impl Fn(&Example) -> Vec<f64> + Sync) -> Vec<f64> {
        let partial_sum = |chunk: &[Example]| {
            let mut sum = vec![0.0; self.dimension()];
            for example in chunk {
                let of_one = of_logits(example);
                let (weights, biases) = sum.split_at_mut(self.features * self.classes);
                for (&feature, row) in example.features.iter().zip(weights.chunks_exact_mut(self.classes)) {
                    if feature != 0.0 {
                        add_scaled(row, feature, &of_one);
                    }
                }
                add_scaled(biases, 1.0, &of_one);
            }
            sum
        };
        let partial_sums: Vec<_> = examples.par_chunks(CHUNK).map(partial_sum).collect();
        let mut sum = vec![0.0; self.dimension()];
        for partial in &partial_sums {
            add_scaled(&mut sum, 1.0, partial);
        }
        sum
    }
}

/// `target` += `factor` * `values`.
pub(super) fn add_scaled(target: &mut [f64], factor: f64, values: &[f64]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += factor * value;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn softmax(mut logits: Vec<f64>) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for z in &mut *logits {
        *z = (*z - largest).exp();
    }
    let sum: f64 = logits.iter().sum();
    for z in &mut *logits {
        *z /= sum;
    }
    logits
}

/// p - y
fn residual(probabilities: &[f64], example: &Example) -> Vec<f64> {
    let mut residual = probabilities.to_vec();
    residual[example.label] -= 1.0;
    residual
}

/// How the probabilities change when the logits change by `change`: p * (u - p . u).
fn softmax_change(probabilities: &[f64], change: &[f64]) -> Vec<f64> {
    let mean = dot(probabilities, change);
    probabilities.iter().zip(change).map(|(p, u)| p * (u - mean)).collect()
}
