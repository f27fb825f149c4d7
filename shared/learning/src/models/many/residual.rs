//! `ResNet20`, whose batch normalisation takes its statistics from the examples of the batch.

use candle_core::{Error, Result, Tensor, bail};

use super::layers::{block, flat, linear, linear_gradients, rectify};
use super::windows::{Convolution, Windows, spread, thin};
use super::{Batched, HUNDRED_DEVICES, Layers, ManyDevices, Tape};
use crate::parameters::Layout;

/// Keeps the deviation of a constant channel from being 0: that of the model of one device.
const EPSILON: f64 = 1e-5;

/// `ResNet20` with parameters of this `layout`, for examples of `shape`.
pub(in crate::models) fn residual(layout: &Layout, shape: &[usize]) -> Box<dyn ManyDevices> {
    Box::new(Batched::new(Residual, layout, shape))
}

struct Residual;

/// What a layer remembers for the way back.
pub(super) enum Layer {
    Unit(Unit),
    /// The fully connected one, and of how many pixels its input, `[m, n, channels]`, is the mean.
    Head {
        features: Tensor,
        pixels: usize,
    },
}

/// A convolution, normalised over the examples of each device and rectified, perhaps after a shortcut was added: what
/// it remembers for the way back, with pixels `[m, n height width, channels]`.
pub(super) struct Unit {
    windows: Windows,
    /// With mean 0 and variance 1 in each channel.
    normalised: Tensor,
    /// One over the deviation, `[m, 1, channels]`.
    scale: Tensor,
    blocked: Tensor,
    /// Number of examples of each device.
    examples: usize,
    /// Of the shortcut that was added: how it thins out images, and of which shape these were.
    shortcut: Option<(usize, (usize, usize, usize, usize))>,
}

/// Takes the weights of each unit, its scales and shifts, and those of the fully connected layer. A quarter of a hundred
/// devices takes 5 GB with minibatches of 32 from MNIST.
impl Layers for Residual {
    type Layer = Layer;

    fn values_at_a_time(&self) -> usize {
        HUNDRED_DEVICES / 4
    }

    fn forward(&self, weights: &[Tensor], examples: &Tensor, tape: &mut Tape<Layer>) -> Result<Tensor> {
        let (devices, count) = (examples.dim(0)?, examples.dim(1)?);
        let (body, [weight, bias]) = split(weights)?;
        let mut units = body.chunks_exact(3);
        let mut unit = |images: &Tensor, stride: usize, shortcut: Option<(&Tensor, usize)>| {
            let Some([weight, gamma, beta]) = units.next() else { bail!("ResNet20 lacks weights") };
            let windows = Convolution { kernel: 3, stride, padding: 1 }.windows(images, devices)?;
            let convolved = windows.values.matmul(&flat(weight)?.transpose(1, 2)?.contiguous()?)?;
            // What rounding left of the mean is taken off again: the scale of a channel that hardly varies is large.
            let roughly = convolved.broadcast_sub(&mean(&convolved, count)?)?;
            let centred = roughly.broadcast_sub(&mean(&roughly, count)?)?;
            let scale = (mean(&centred.sqr()?, count)? + EPSILON)?.sqrt()?.recip()?;
            let normalised = centred.broadcast_mul(&scale)?;
            let mut output =
                normalised.broadcast_mul(&gamma.unsqueeze(1)?)?.broadcast_add(&beta.unsqueeze(1)?)?;
            let channels = output.dim(2)?;
            if let Some((images, stride)) = shortcut {
                output = (output + pass_by(images, stride, channels)?.reshape((devices, (), channels))?)?;
            }
            let (output, blocked) = rectify(&output)?;
            let (height, width) = windows.sides;
            let of_images = |(images, stride): (&Tensor, usize)| Ok::<_, Error>((stride, images.dims4()?));
            let shortcut = shortcut.map(of_images).transpose()?;
            tape.push(|| {
                Layer::Unit(Unit { windows, normalised, scale, blocked, examples: count, shortcut })
            });
            output.reshape((devices * count, height, width, channels))
        };
        let mut images = unit(&examples.flatten(0, 1)?.unsqueeze(3)?, 1, None)?;
        for block in body[3..].chunks_exact(6) {
            let stride = if block[0].dim(1)? == block[0].dim(2)? { 1 } else { 2 };
            let hidden = unit(&images, stride, None)?;
            images = unit(&hidden, 1, Some((&images, stride)))?;
        }
        let (_, height, width, channels) = images.dims4()?;
        let pixels = height * width;
        let features = images.reshape((devices, count, pixels, channels))?.mean(2)?;
        let logits = linear(&features, weight, bias)?;
        tape.push(|| Layer::Head { features, pixels });
        Ok(logits)
    }

    fn back(&self, weights: &[Tensor], tape: Tape<Layer>, mut gradient: Tensor) -> Result<Vec<Tensor>> {
        let (body, [weight, _]) = split(weights)?;
        let mut units = body.chunks_exact(3).rev();
        let mut learnt = Vec::new();
        // Of the input of a block, by its shortcut.
        let mut passed_by: Option<Tensor> = None;
        for layer in tape.0.into_iter().flatten().rev() {
            match layer {
                Layer::Head { features, pixels } => {
                    let own = linear_gradients(&features, &gradient)?;
                    learnt.extend([own.bias, own.weight]);
                    let mean = (gradient.matmul(weight)? / pixels as f64)?.unsqueeze(2)?;
                    let (devices, count, _, channels) = mean.dims4()?;
                    let all = mean.broadcast_as((devices, count, pixels, channels))?.contiguous()?;
                    gradient = all.reshape((devices, count * pixels, channels))?;
                }
                Layer::Unit(unit) => {
                    let Some([weight, gamma, _]) = units.next() else { bail!("ResNet20 lacks weights") };
                    gradient = block(&unit.blocked, &gradient)?;
                    let convolved = unit.back(gamma, &gradient, &mut learnt)?;
                    let is_first = learnt.len() == weights.len();
                    if !is_first {
                        let (devices, _, channels) = unit.windows.values.dims3()?;
                        let mut images = unit.windows.back(&convolved.matmul(&flat(weight)?)?)?;
                        if let Some((stride, shape)) = unit.shortcut {
                            let (height, width) = unit.windows.sides;
                            let by_image = gradient.reshape((shape.0, height, width, ()))?;
                            passed_by = Some(pass_back(&by_image, stride, shape)?);
                        } else if let Some(other) = passed_by.take() {
                            images = (images + other)?;
                        }
                        gradient = images.reshape((devices, (), channels / 9))?;
                    }
                }
            }
        }
        learnt.reverse();
        Ok(learnt)
    }
}

impl Unit {
    /// The gradient of what the convolution made, `[m, n height width, channels]`, from that of what was rectified; adds
    /// what shift, scale and weight learn to `learnt`.
    fn back(&self, gamma: &Tensor, gradient: &Tensor, learnt: &mut Vec<Tensor>) -> Result<Tensor> {
        let pixels = gradient.dim(1)? as f64;
        let shift = total(gradient, self.examples)?;
        let scale = total(&(gradient * &self.normalised)?, self.examples)?;
        // The statistics count as functions of the input.
        let of_statistics = self.normalised.broadcast_mul(&scale)?.broadcast_add(&shift)?;
        let centred = (gradient - (of_statistics / pixels)?)?;
        let convolved = centred.broadcast_mul(&(gamma.unsqueeze(1)? * &self.scale)?)?;
        let weight = convolved.transpose(1, 2)?.contiguous()?.matmul(&self.windows.values)?;
        learnt.extend([shift, scale, weight]);
        Ok(convolved)
    }
}

/// The sum of values `[m, n pixels, channels]` over all pixels, `[m, 1, channels]`: of each example first, so that fewer
/// digits are lost.
fn total(values: &Tensor, examples: usize) -> Result<Tensor> {
    let (devices, _, channels) = values.dims3()?;
    values.reshape((devices, examples, (), channels))?.sum(2)?.sum_keepdim(1)
}

fn mean(values: &Tensor, examples: usize) -> Result<Tensor> {
    total(values, examples)? / values.dim(1)? as f64
}

/// The images that a shortcut adds: every other row and column, with channels of zeros for those that they lack.
fn pass_by(images: &Tensor, stride: usize, channels: usize) -> Result<Tensor> {
    let (_, height, width, inputs) = images.dims4()?;
    let whole = |length: usize| length.next_multiple_of(stride) - length;
    let whole = images.pad_with_zeros(1, 0, whole(height))?.pad_with_zeros(2, 0, whole(width))?;
    thin(&thin(&whole, 1, stride)?, 2, stride)?.pad_with_zeros(3, 0, channels - inputs)
}

/// The gradient of the images of this shape, from that of what [`pass_by`] made of them.
fn pass_back(gradient: &Tensor, stride: usize, shape: (usize, usize, usize, usize)) -> Result<Tensor> {
    let (_, height, width, channels) = shape;
    let own = gradient.narrow(3, 0, channels)?;
    let spread = spread(&spread(&own, 1, stride)?, 2, stride)?;
    spread.narrow(1, 0, height)?.narrow(2, 0, width)
}

/// The weights of the units, and weight and bias of the fully connected layer.
fn split(weights: &[Tensor]) -> Result<(&[Tensor], &[Tensor; 2])> {
    weights.split_last_chunk().ok_or_else(|| Error::Msg("ResNet20 lacks weights".to_owned()))
}
