//! `ResNet20`, the residual network with 20 layers that He et al. (2016, section 4.2) built for small pictures.
//!
//! On grey images of shape `[height, width]`: convolution 3 x 3 x 16; three stages of three blocks with 16, 32
//! and 64 channels; mean over the pixels; fully connected, softmax. A block is convolution, batch normalisation,
//! rectifier, convolution, batch normalisation, plus the block's input, rectifier. The first block of the second
//! and of the third stage halves height and width (rounded up). There the input is added as in the original's
//! option A: every other row and column of it, with channels of zeros for those it lacks. So a shortcut has no
//! parameters. CH-MNIST has 269,304 of them.
//!
//! # Batch normalisation
//! Scale and shift (gamma, beta) are parameters like any other: aggregated, and open to attack. The statistics
//! are always those of the batch at hand, in training *and* in evaluation. Frameworks evaluate with moving
//! averages, which are neither trained nor part of the flat vector that devices send, and an aggregator has no
//! training data to take them from; were they sent along, a rule would mix statistics with weights and an
//! attacker could poison variances to below zero. Thus a model is its parameters and nothing else, but how it
//! classifies an example depends on the others of the batch: evaluate on batches of many examples, the same
//! ones for all models that are to be compared.

use candle_core::{Device, Result, Tensor, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::classifier::{Classifier, Network};
use super::convolution::Convolution;
use super::linear::linear;
use super::many::residual;
use super::normalisation::BatchNorm;
use super::{Architecture, LayerSummary, ManyDevices, Model, ModelError, layers};
use crate::parameters::{Entry, Layout};
use crate::random::Stream;

/// Channels of the three stages.
const CHANNELS: [usize; 3] = [16, 32, 64];
/// Blocks in a stage.
const BLOCKS: usize = 3;
const KERNEL: usize = 3;

/// The residual network of He et al. with 20 layers, for pictures only.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ResNet20 {}

impl Architecture for ResNet20 {
    fn build(&self, shape: &[usize], classes: usize) -> std::result::Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(classifier(shape, classes)?))
    }

    fn summary(&self, shape: &[usize], classes: usize) -> std::result::Result<Vec<LayerSummary>, ModelError> {
        let model = classifier(shape, classes)?;
        let mut sides = shape.to_vec();
        let strides = std::iter::once(1).chain(blocks().flat_map(|block| [block.stride, 1]));
        let mut summaries = Vec::new();
        let (units, head) = model.layout().entries().split_at(model.layout().entries().len() - 2);
        for (unit, stride) in units.chunks_exact(3).zip(strides) {
            sides.iter_mut().for_each(|side| *side = side.div_ceil(stride));
            let outputs = unit[1].len();
            let output = [sides.clone(), vec![outputs]].concat();
            let kept = output.iter().product::<usize>() as u64;
            let each = (unit[0].len() / outputs) as u64;
            let name = |entry: &Entry| entry.name.rsplit_once('.').map(|(name, _)| name.to_owned());
            let convolution = LayerSummary {
                kind: "conv2d",
                name: name(&unit[0]),
                output: output.clone(),
                parameters: unit[0].len() as u64,
                multiply_adds: kept * each,
                kept,
            };
            let parameters = 2 * outputs as u64;
            let name = name(&unit[1]);
            let norm = LayerSummary { kind: "batch-norm", name, output, parameters, multiply_adds: 0, kept };
            summaries.extend([convolution, norm]);
        }
        let (name, output) = (Some("fc".to_owned()), vec![classes]);
        let (weights, kept) = (head[0].len() as u64, classes as u64);
        let parameters = weights + kept;
        summaries.push(LayerSummary {
            kind: "dense",
            name,
            output,
            parameters,
            multiply_adds: weights,
            kept,
        });
        Ok(summaries)
    }
}

struct Layers;

impl Network for Layers {
    fn forward(&self, parameters: &[Tensor], input: &Tensor) -> Result<Tensor> {
        let (_, head) = parameters.split_at(parameters.len().saturating_sub(2));
        let logits = |hidden: &Tensor| linear(hidden, &head[0], &head[1]);
        let hidden = Self::hidden(parameters, input)?;
        Tensor::cat(&hidden.iter().map(logits).collect::<Result<Vec<_>>>()?, 0)
    }

    fn represent(&self, parameters: &[Tensor], input: &Tensor) -> Result<Tensor> {
        Tensor::cat(&Self::hidden(parameters, input)?, 0)
    }

    fn initialize(&self, entry: &Entry, values: &mut [f32], random: &mut Stream) {
        match entry.shape.len() {
            4 => layers::he_uniform(&entry.shape, values, random),
            2 => layers::xavier_uniform(&entry.shape, values, random),
            _ if entry.name.ends_with("gamma") => values.fill(1.0),
            _ => {}
        }
    }

    fn many_devices(&self, layout: &Layout, shape: &[usize]) -> Option<Box<dyn ManyDevices>> {
        Some(residual(layout, shape))
    }
}

impl Layers {
    /// What the last layer takes, piece by piece of the batch.
    fn hidden(parameters: &[Tensor], input: &Tensor) -> Result<Vec<Tensor>> {
        let (body, _) = parameters.split_at(parameters.len().saturating_sub(2));
        let mut units = body.chunks_exact(3);
        let mut unit = |pieces: Vec<Tensor>, stride, shortcuts: Option<Vec<Tensor>>| match units.next() {
            Some([weight, gamma, beta]) => {
                let convolution = Convolution { stride, padding: KERNEL / 2 };
                let convolve = |piece: Tensor| convolution.apply(&piece, weight);
                let convolved = pieces.into_iter().map(convolve).collect::<Result<Vec<_>>>()?;
                let norm = BatchNorm::of(&convolved)?;
                let mut shortcuts = shortcuts.into_iter().flatten();
                let normalise = |piece: Tensor| norm.apply(&piece, gamma, beta, shortcuts.next().as_ref());
                convolved.into_iter().map(normalise).collect::<Result<Vec<_>>>()
            }
            _ => bail!("ResNet20 lacks parameters"),
        };
        let mut features = unit(layers::pieces(&input.unsqueeze(3)?, &parameters[0])?, 1, None)?;
        for Block { outputs, stride, .. } in blocks() {
            let shortcuts = features.iter().map(|piece| shortcut(piece, outputs, stride));
            let shortcuts = shortcuts.collect::<Result<Vec<_>>>()?;
            let hidden = unit(features, stride, None)?;
            features = unit(hidden, 1, Some(shortcuts))?;
        }
        features.iter().map(|piece| piece.flatten(1, 2)?.mean(1)).collect()
    }
}

/// One block of two convolutions.
struct Block {
    name: String,
    inputs: usize,
    outputs: usize,
    stride: usize,
}

fn blocks() -> impl Iterator<Item = Block> {
    (0..CHANNELS.len() * BLOCKS).map(|index| {
        let (stage, block) = (index / BLOCKS, index % BLOCKS);
        let widens = stage > 0 && block == 0;
        Block {
            name: format!("stage{}.block{}", stage + 1, block + 1),
            inputs: CHANNELS[if widens { stage - 1 } else { stage }],
            outputs: CHANNELS[stage],
            stride: if widens { 2 } else { 1 },
        }
    })
}

/// The input of a block as it is added to what comes out of it.
fn shortcut(input: &Tensor, channels: usize, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(input.clone());
    }
    let (_, height, width, inputs) = input.dims4()?;
    let every = |side: usize| Tensor::arange_step(0, side as u32, stride as u32, &Device::Cpu);
    let kept = input.index_select(&every(height)?, 1)?.index_select(&every(width)?, 2)?;
    kept.pad_with_zeros(3, 0, channels - inputs)
}

fn classifier(shape: &[usize], classes: usize) -> std::result::Result<Classifier<Layers>, ModelError> {
    if shape.len() != 2 {
        return Err(ModelError::UnsupportedShape {
            model: "resnet20",
            shape: shape.to_vec(),
            supported: "[height, width]",
        });
    }
    let mut tensors = Vec::new();
    let mut unit = |prefix: &str, number: usize, inputs: usize, outputs: usize| {
        tensors.push((format!("{prefix}conv{number}.weight"), vec![outputs, inputs, KERNEL, KERNEL]));
        tensors.push((format!("{prefix}bn{number}.gamma"), vec![outputs]));
        tensors.push((format!("{prefix}bn{number}.beta"), vec![outputs]));
    };
    unit("", 1, 1, CHANNELS[0]);
    for Block { name, inputs, outputs, .. } in blocks() {
        unit(&format!("{name}."), 1, inputs, outputs);
        unit(&format!("{name}."), 2, outputs, outputs);
    }
    tensors.push(("fc.weight".to_owned(), vec![classes, CHANNELS[2]]));
    tensors.push(("fc.bias".to_owned(), vec![classes]));
    Ok(Classifier::new(Layers, Layout::new(tensors), shape, classes))
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradient, assert_model_gradient, random_batch, random_tensor};
    use super::*;
    use crate::evaluation::evaluate;
    use crate::parameters::Parameters;
    use crate::random::{Purpose, stream};
    use crate::training::{Descent, train};
    use wire::identity::Digest;

    fn initial(model: &dyn Model) -> Parameters {
        model.initial(&mut stream(1, Purpose::Weights, None, 0))
    }

    /// With three colours and ten classes the original has 269,722: 288 more under the first kernels.
    #[test]
    fn it_has_the_parameters_of_the_original() {
        assert_eq!(ResNet20 {}.build(&[32, 32], 10).unwrap().layout().dimension() + 288, 269_722);
        let model = ResNet20 {}.build(&[64, 64], 8).unwrap();
        assert_eq!(model.layout().dimension(), 269_304);
        let weights = model.layout().entries().iter().filter(|entry| entry.shape.len() > 1).count();
        assert_eq!(weights, 20);
        assert_eq!(model.layout().entries()[21].name, "stage2.block1.conv1.weight");
        assert_eq!(model.layout().entries()[21].shape, [32, 16, 3, 3]);
    }

    #[test]
    fn the_initial_model_of_a_seed_is_pinned() {
        let parameters = initial(ResNet20 {}.build(&[64, 64], 8).unwrap().as_ref());
        for entry in parameters.layout().entries() {
            let values = &parameters.values()[entry.range()];
            let all = |expected: f32| values.iter().all(|&value| value == expected);
            assert_eq!(all(1.0), entry.name.ends_with("gamma"), "{entry:?}");
            assert_eq!(all(0.0), entry.name.ends_with("beta") || entry.name.ends_with("bias"), "{entry:?}");
        }
        assert_eq!(
            Digest::of(&parameters.to_le_bytes()).to_string(),
            "220f9d8362fc3ddac42cf904f17f1caf6e1c3a6f6e81fa541da98ccd189033d1"
        );
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        assert_model_gradient(&classifier(&[6, 5], 3).unwrap(), &random_batch(&[6, 5], 3, 4));
    }

    #[test]
    fn a_shortcut_keeps_every_other_pixel_and_adds_channels_of_zeros() {
        let input = Tensor::arange(0f32, 15., &Device::Cpu).unwrap().reshape((1, 3, 5, 1)).unwrap();
        let output = shortcut(&input, 2, 2).unwrap();
        assert_eq!(output.dims(), [1, 2, 3, 2]);
        let values = output.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values, [0., 0., 2., 0., 4., 0., 10., 0., 12., 0., 14., 0.]);
        for shape in [[2, 3, 5, 2], [2, 4, 4, 2], [1, 1, 2, 3]] {
            assert_gradient(&[random_tensor(&shape, 1)], |x| shortcut(&x[0], 6, 2));
        }
    }

    #[test]
    fn only_images_are_taken() {
        assert!(ResNet20 {}.build(&[28, 28], 2).is_ok());
        for shape in [&[30][..], &[3, 28, 28], &[]] {
            let refused = ResNet20 {}.build(shape, 2).err().unwrap();
            assert!(matches!(refused, ModelError::UnsupportedShape { .. }), "{refused}");
        }
    }

    #[test]
    fn it_learns_eight_random_images_by_heart() {
        let model = ResNet20 {}.build(&[9, 8], 4).unwrap();
        let images = || random_batch(&[9, 8], 4, 8);
        let (global, descent) = (initial(model.as_ref()).values().into(), Descent::plain(0.1));
        let trained = train(model.as_ref(), global, &descent, None, (0..30).map(|_| images())).unwrap();
        let evaluation = evaluate(model.as_ref(), &trained.parameters, [images()]).unwrap();
        assert_eq!(evaluation.errors, 0, "{evaluation:?}");
        assert!(evaluation.loss < 0.1, "{evaluation:?}");
    }

    /// What the module says of evaluation: neighbours in the batch matter, and nothing else does.
    #[test]
    fn the_same_batch_is_always_classified_alike() {
        let model = ResNet20 {}.build(&[9, 8], 4).unwrap();
        let parameters = initial(model.as_ref());
        let logits =
            |examples| model.logits(parameters.values(), &random_batch(&[9, 8], 4, examples)).unwrap();
        assert_eq!(logits(8), logits(8));
        assert_ne!(logits(8)[..4], logits(4)[..4]);
    }
}
