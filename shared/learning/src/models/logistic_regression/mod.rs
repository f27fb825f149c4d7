//! Multi-class logistic regression: one linear layer, whatever the shape of the examples.
//!
//! Not on candle: loss and gradient come from one pass over the examples, in which each example's features that are
//! not zero meet the weights of all classes at once. Every sum has an order of its own that depends neither on the
//! machine's vector instructions nor on threads, and `exp` and `ln` are not the platform's, so that a step has the
//! same bits on a server and on a board.

mod columns;
mod present;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use simd::{Kernel, padded, vectorized};

use self::columns::{TILE, Tile, add_scaled, transpose, transpose_back, weighted_sum};
use self::present::Present;
use super::input::Input;
use super::many::plain;
use super::{Architecture, LayerSummary, ManyDevices, Model, ModelError};
use crate::data::Batch;
use crate::parameters::{Layout, Parameters};
use crate::random::Stream;

/// Multi-class logistic regression (softmax regression), for examples of any shape.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LogisticRegression {}

impl Architecture for LogisticRegression {
    fn build(&self, shape: &[usize], classes: usize) -> Result<Box<dyn Model>, ModelError> {
        let input = Input { shape: shape.to_vec(), classes };
        let layout = Layout::new([("weight", vec![classes, input.features()]), ("bias", vec![classes])]);
        Ok(Box::new(Regression { layout: Arc::new(layout), input }))
    }

    fn summary(&self, shape: &[usize], classes: usize) -> Result<Vec<LayerSummary>, ModelError> {
        let features = shape.iter().fold(1, |product: u64, &side| product.saturating_mul(side as u64));
        let multiply_adds = features.saturating_mul(classes as u64);
        let parameters = multiply_adds.saturating_add(classes as u64);
        let (name, output, kept) = (None, vec![classes], classes as u64);
        Ok(vec![LayerSummary { kind: "dense", name, output, parameters, multiply_adds, kept }])
    }
}

/// Starts from zeros, which do as well as any draw since its loss is convex.
struct Regression {
    layout: Arc<Layout>,
    input: Input,
}

impl Model for Regression {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn initial(&self, _random: &mut Stream) -> Parameters {
        Parameters::zeros(self.layout.clone())
    }

    fn loss_and_gradient(&self, parameters: &[f32], batch: &Batch) -> Result<(f32, Vec<f32>), ModelError> {
        self.input.check(&self.layout, parameters, batch)?;
        Ok(vectorized(Step { model: self, parameters, batch }))
    }

    fn logits(&self, parameters: &[f32], batch: &Batch) -> Result<Vec<f32>, ModelError> {
        self.input.check(&self.layout, parameters, batch)?;
        Ok(vectorized(Logits { model: self, parameters, batch }))
    }

    fn many_devices(&self) -> Option<Box<dyn ManyDevices>> {
        Some(plain(&self.layout, &self.input.shape, 0))
    }
}

/// Logits of a batch that has passed the check.
struct Logits<'a> {
    model: &'a Regression,
    parameters: &'a [f32],
    batch: &'a Batch,
}

impl Kernel for Logits<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let input = &self.model.input;
        let linear = Linear::of(self.parameters, input);
        let mut present = Present::default();
        let mut all = vec![0.0; self.batch.len() * input.classes];
        for (example, logits) in all.chunks_exact_mut(input.classes).enumerate() {
            present.take(&self.batch.features, example, input.features());
            linear.apply(&present, logits);
        }
        all
    }
}

/// Loss and gradient of a batch that has passed the check.
struct Step<'a> {
    model: &'a Regression,
    parameters: &'a [f32],
    batch: &'a Batch,
}

impl Kernel for Step<'_> {
    type Output = (f32, Vec<f32>);

    #[inline(always)]
    fn run(self) -> (f32, Vec<f32>) {
        let Step { model: Regression { layout, input }, parameters, batch } = self;
        let (features, classes) = (input.features(), input.classes);
        let linear = Linear::of(parameters, input);
        let mut by_weights = vec![vec![[0.0; TILE]; features]; linear.tiles.len()];
        let mut by_bias = vec![0.0; classes];
        let mut row = vec![0.0; classes];
        let mut present = Present::default();
        let (mut loss, share) = (0.0, 1.0 / batch.len() as f32);
        for (example, &label) in batch.labels.iter().enumerate() {
            present.take(&batch.features, example, features);
            linear.apply(&present, &mut row);
            loss += softmax_cross_entropy(&mut row, label as usize);
            for (sum, derivative) in by_bias.iter_mut().zip(&mut row) {
                *derivative *= share;
                *sum += *derivative;
            }
            for (derivatives, columns) in row.chunks(TILE).zip(&mut by_weights) {
                let tile = padded(derivatives);
                for &(place, value) in present.entries() {
                    add_scaled(&mut columns[place as usize], value, &tile);
                }
            }
        }
        let mut gradient = vec![0.0; layout.dimension()];
        let (weights, bias) = gradient.split_at_mut(classes * features);
        for (tile, columns) in by_weights.iter().enumerate() {
            transpose_back(columns, weights, tile * TILE);
        }
        bias.copy_from_slice(&by_bias);
        (loss * share, gradient)
    }
}

/// The layer, its weights arranged by feature.
struct Linear<'a> {
    /// For each [`TILE`] classes the columns of their weights.
    tiles: Vec<Vec<Tile>>,
    bias: &'a [f32],
}

impl<'a> Linear<'a> {
    #[inline(always)]
    fn of(parameters: &'a [f32], input: &Input) -> Self {
        let (weights, bias) = parameters.split_at(input.classes * input.features());
        let mut tiles = Vec::new();
        for first in (0..input.classes).step_by(TILE) {
            tiles.push(transpose(weights, input.features(), first));
        }
        Linear { tiles, bias }
    }

    /// The logits of an example.
    #[inline(always)]
    fn apply(&self, example: &Present, logits: &mut [f32]) {
        for (columns, logits) in self.tiles.iter().zip(logits.chunks_mut(TILE)) {
            let sums = weighted_sum(columns, example.entries());
            logits.copy_from_slice(&sums[..logits.len()]);
        }
        for (logit, bias) in logits.iter_mut().zip(self.bias) {
            *logit += bias;
        }
    }
}

/// Cross-entropy of the softmax of one row of logits; the row becomes its derivatives by the logits.
#[inline(always)]
fn softmax_cross_entropy(row: &mut [f32], label: usize) -> f32 {
    // The shift cancels out; it is there for `exp` not to overflow. `f32::max` skips a NaN, the sum does not.
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let own = row[label] - largest;
    let mut partition = 0.0;
    for value in &mut *row {
        *value = libm::expf(*value - largest);
        partition += *value;
    }
    for value in &mut *row {
        *value /= partition;
    }
    row[label] -= 1.0;
    libm::logf(partition) - own
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::super::classifier::{Classifier, Network};
    use super::super::gradient_check::{assert_model_gradient, random_batch};
    use super::super::linear::linear;
    use super::*;
    use crate::data::Features;
    use crate::random::{Purpose, stream};

    /// The same model by tensors and automatic differentiation.
    struct ByTensors;

    impl Network for ByTensors {
        fn forward(&self, parameters: &[Tensor], input: &Tensor) -> candle_core::Result<Tensor> {
            linear(&input.flatten_from(1)?, &parameters[0], &parameters[1])
        }
    }

    fn by_tensors(shape: &[usize], classes: usize) -> Classifier<ByTensors> {
        let features = shape.iter().product();
        let layout = Layout::new([("weight", vec![classes, features]), ("bias", vec![classes])]);
        Classifier::new(ByTensors, layout, shape, classes)
    }

    fn assert_close(actual: &[f32], expected: &[f32]) {
        assert_eq!(actual.len(), expected.len());
        let scale = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        for (i, (a, b)) in actual.iter().zip(expected).enumerate() {
            assert!((a - b).abs() <= 2e-6 * scale, "value {i}: {a} instead of {b}, the largest is {scale}");
        }
    }

    #[test]
    fn mnist_has_7850_parameters_that_start_as_zeros() {
        let model = LogisticRegression {}.build(&[28, 28], 10).unwrap();
        let initial = model.initial(&mut stream(1, Purpose::Weights, None, 0));
        assert_eq!(initial.values(), vec![0.0; 7850]);
    }

    #[test]
    fn it_computes_what_automatic_differentiation_does() {
        for (shape, classes, examples) in [
            (&[3, 5][..], 4, 6),
            (&[30], 2, 1),
            (&[28, 28], 10, 32),
            (&[7], 16, 5),
            (&[9], 17, 3),
            (&[2], 40, 50),
        ] {
            let (model, expected) =
                (LogisticRegression {}.build(shape, classes).unwrap(), by_tensors(shape, classes));
            let batch = random_batch(shape, classes as u32, examples);
            let parameters: Vec<f32> =
                random_batch(&[model.layout().dimension()], 2, 1).features.to_floats().into();
            let (loss, gradient) = model.loss_and_gradient(&parameters, &batch).unwrap();
            let (expected_loss, expected_gradient) = expected.loss_and_gradient(&parameters, &batch).unwrap();
            assert_close(&[loss], &[expected_loss]);
            assert_close(&gradient, &expected_gradient);
            assert_close(
                &model.logits(&parameters, &batch).unwrap(),
                &expected.logits(&parameters, &batch).unwrap(),
            );
        }
    }

    #[test]
    fn what_it_is_compared_with_has_the_gradient_of_finite_differences() {
        assert_model_gradient(&by_tensors(&[3, 5], 4), &random_batch(&[3, 5], 4, 6));
    }

    #[test]
    fn pixels_give_the_bits_of_the_fractions_they_stand_for() {
        let model = LogisticRegression {}.build(&[3, 7], 3).unwrap();
        let pixels =
            Features::Bytes((0..42).map(|i: u8| if i.is_multiple_of(3) { 0 } else { i * 6 }).collect());
        let floats = Features::Floats(pixels.to_floats().into_owned());
        let parameters: Vec<f32> = (0..66).map(|i| (i as f32).sin()).collect();
        let result = |features: Features| {
            let batch = Batch { features, shape: vec![3, 7], labels: vec![2, 0] };
            (
                model.loss_and_gradient(&parameters, &batch).unwrap(),
                model.logits(&parameters, &batch).unwrap(),
            )
        };
        assert_eq!(result(pixels), result(floats));
    }

    /// Computed once and written down: the same bits on every machine, whatever its vector instructions.
    #[test]
    fn a_step_has_the_same_bits_everywhere() {
        let model = LogisticRegression {}.build(&[28, 28], 10).unwrap();
        let pixels = (0..4 * 784u32).map(|i| if i % 5 < 3 { 0 } else { (i * 37 % 256) as u8 }).collect();
        let batch =
            Batch { features: Features::Bytes(pixels), shape: vec![28, 28], labels: vec![3, 0, 9, 3] };
        let parameters: Vec<f32> = (0..7850u32).map(|i| (i * 7919 % 1000) as f32 / 5000.0 - 0.1).collect();
        let (loss, gradient) = model.loss_and_gradient(&parameters, &batch).unwrap();
        let bytes: Vec<u8> = [loss].iter().chain(&gradient).flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(
            wire::identity::Digest::of(&bytes).to_string(),
            "8b86adcb3d4a322fa6ee9c73604de8e4c86ba952c9d90b2e845f60bf4465ade1"
        );
    }
}
