//! Convolutions, each pooled and rectified, then fully connected layers, rectified but for the last: logistic regression is one
//! of those, the paper's network two of each.

use candle_core::{Result, Tensor};

use super::layers::{block, flat, linear, linear_gradients, rectify};
use super::pooling::{Pooling, pool};
use super::windows::{Convolution, Windows};
use super::{Batched, HUNDRED_DEVICES, Layers, ManyDevices, Tape};
use crate::parameters::Layout;

/// Any number of convolutions, with so many rows and columns of zeros around what they take, and of fully connected layers
/// after them, with parameters of this `layout`, for examples of `shape`.
pub(in crate::models) fn plain(layout: &Layout, shape: &[usize], padding: usize) -> Box<dyn ManyDevices> {
    let window = |weight: &[usize]| match *weight {
        [_, inputs, height, width] => inputs * height * width,
        _ => 0,
    };
    let largest_window = layout.entries().iter().map(|entry| window(&entry.shape)).max().unwrap_or(0);
    Box::new(Batched::new(Plain { padding, largest_window }, layout, shape))
}

struct Plain {
    padding: usize,
    /// Values under a kernel of the convolution that has most.
    largest_window: usize,
}

/// Values under the largest kernel of the paper's network.
const PAPERS_WINDOW: usize = 30 * 3 * 3;

/// What a layer remembers for the way back.
pub(super) enum Layer {
    Convolution {
        windows: Windows,
        pooling: Pooling,
        blocked: Tensor,
    },
    /// From images `[m n, height, width, channels]` to features.
    Flat {
        images: (usize, usize, usize, usize),
    },
    Linear {
        input: Tensor,
        blocked: Option<Tensor>,
    },
}

/// Takes weights and biases in turn. A minibatch of 32 from MNIST for each of a hundred devices takes 1.5 GB with the
/// paper's network; networks with larger windows train fewer devices at a time.
impl Layers for Plain {
    type Layer = Layer;

    fn values_at_a_time(&self) -> usize {
        HUNDRED_DEVICES * PAPERS_WINDOW / self.largest_window.max(PAPERS_WINDOW)
    }

    fn forward(&self, weights: &[Tensor], examples: &Tensor, tape: &mut Tape<Layer>) -> Result<Tensor> {
        let (devices, count) = (examples.dim(0)?, examples.dim(1)?);
        let is_convolution = |weight: &Tensor| weight.rank() == 5;
        let convolutions = weights.chunks_exact(2).filter(|layer| is_convolution(&layer[0])).count();
        let (convolutional, connected) = weights.split_at(2 * convolutions);
        let mut features = examples.flatten_from(2)?;
        if convolutions > 0 {
            let mut images = examples.flatten(0, 1)?.unsqueeze(3)?;
            for layer in convolutional.chunks_exact(2) {
                let convolution = Convolution { kernel: layer[0].dim(4)?, stride: 1, padding: self.padding };
                let windows = convolution.windows(&images, devices)?;
                let values = linear(&windows.values, &flat(&layer[0])?, &layer[1])?;
                let (height, width) = windows.sides;
                let (pooled, pooling) = pool(&values.reshape((devices * count, height, width, ()))?)?;
                let blocked;
                (images, blocked) = rectify(&pooled)?;
                tape.push(|| Layer::Convolution { windows, pooling, blocked });
            }
            let shape = images.dims4()?;
            tape.push(|| Layer::Flat { images: shape });
            // The weight of the next layer counts channel by channel.
            features = images.permute((0, 3, 1, 2))?.contiguous()?.reshape((devices, count, ()))?;
        }
        for (index, layer) in connected.chunks_exact(2).enumerate() {
            let output = linear(&features, &layer[0], &layer[1])?;
            let is_last = 2 * (index + 1) == connected.len();
            let (output, blocked) = if is_last {
                (output, None)
            } else {
                let (output, blocked) = rectify(&output)?;
                (output, Some(blocked))
            };
            let input = std::mem::replace(&mut features, output);
            tape.push(|| Layer::Linear { input, blocked });
        }
        Ok(features)
    }

    fn back(&self, weights: &[Tensor], tape: Tape<Layer>, mut gradient: Tensor) -> Result<Vec<Tensor>> {
        let mut pairs = weights.chunks_exact(2).rev();
        let mut learnt = Vec::new();
        for layer in tape.0.into_iter().flatten().rev() {
            let own = match layer {
                Layer::Flat { images: (count, height, width, channels) } => {
                    let by_channel = gradient.reshape((count, channels, height, width))?;
                    gradient = by_channel.permute((0, 2, 3, 1))?.contiguous()?;
                    continue;
                }
                Layer::Linear { input, blocked } => {
                    gradient = blocked.map_or(Ok(gradient.clone()), |blocked| block(&blocked, &gradient))?;
                    let own = linear_gradients(&input, &gradient)?;
                    // The first layer of all has nobody to pass anything back to.
                    if let Some([weight, _]) = pairs.next().filter(|_| !is_first(&learnt, weights)) {
                        gradient = gradient.matmul(weight)?;
                    }
                    own
                }
                Layer::Convolution { windows, pooling, blocked } => {
                    let (devices, outputs) = (windows.values.dim(0)?, gradient.dim(3)?);
                    let convolved =
                        pooling.back(&block(&blocked, &gradient)?)?.reshape((devices, (), outputs))?;
                    let own = linear_gradients(&windows.values, &convolved)?;
                    if let Some([weight, _]) = pairs.next().filter(|_| !is_first(&learnt, weights)) {
                        gradient = windows.back(&convolved.matmul(&flat(weight)?)?)?;
                    }
                    own
                }
            };
            // From the last layer to the first, biases before weights.
            learnt.extend([own.bias, own.weight]);
        }
        learnt.reverse();
        Ok(learnt)
    }
}

/// Whether the layer whose weights learn next is the first of all.
fn is_first(learnt: &[Tensor], weights: &[Tensor]) -> bool {
    learnt.len() + 2 == weights.len()
}
