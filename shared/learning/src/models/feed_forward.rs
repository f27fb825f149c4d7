//! Networks of convolutions and fully connected layers, one after the other: what `dnn`, `cnn-byzfl`, `cnn-mcmahan` and `2nn`
//! have in common.

use candle_core::{Result, Tensor};

use super::classifier::{Classifier, Network};
use super::convolution::{Convolution, convolution_with_pooling};
use super::linear::linear;
use super::many::plain;
use super::rectifier::relu;
use super::reversal::channel_by_channel;
use super::{Architecture, LayerSummary, ManyDevices, ModelError, layers, sequential};
use crate::parameters::{Entry, Layout};
use crate::random::Stream;

/// What tells one such network from another. Each convolution is rectified and max-pooled 2 x 2, where an odd last row or
/// column is left out; each fully connected layer but the last is rectified.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeedForward {
    /// What it is called.
    pub(super) name: &'static str,
    /// Which examples it takes.
    pub(super) supported: &'static str,
    /// Channels that each convolution makes; with none, an example of any shape is a row of features.
    pub(super) channels: &'static [usize],
    /// Sides of a kernel.
    pub(super) kernel: usize,
    /// Rows and columns of zeros around what a convolution takes.
    pub(super) padding: usize,
    /// Values that each fully connected layer makes, but the last.
    pub(super) hidden: &'static [usize],
}

impl FeedForward {
    /// The network for examples of `shape`.
    ///
    /// # Errors
    /// [`ModelError::UnsupportedShape`] if it has convolutions and these are no images, or so small that a pooling leaves nothing
    /// of them.
    pub(super) fn classifier(
        self,
        shape: &[usize],
        classes: usize,
    ) -> std::result::Result<Classifier<Self>, ModelError> {
        let FeedForward { name: model, supported, .. } = self;
        let layout = self.layout(shape, classes);
        let layout =
            layout.ok_or_else(|| ModelError::UnsupportedShape { model, shape: shape.to_vec(), supported })?;
        Ok(Classifier::new(self, layout, shape, classes))
    }

    /// What there is to say of its layers.
    ///
    /// # Errors
    /// As [`FeedForward::classifier`].
    pub(super) fn summary(
        self,
        shape: &[usize],
        classes: usize,
    ) -> std::result::Result<Vec<LayerSummary>, ModelError> {
        self.classifier(shape, classes)?;
        sequential::of_feed_forward(self).summary(shape, classes)
    }

    fn layout(&self, shape: &[usize], classes: usize) -> Option<Layout> {
        let mut tensors = Vec::new();
        let mut features = match (self.channels.last(), shape) {
            (_, []) => return None,
            (None, _) => shape.iter().product(),
            (Some(channels), &[height, width]) => {
                channels * self.pooled_side(height)? * self.pooled_side(width)?
            }
            (Some(_), _) => return None,
        };
        let mut inputs = 1;
        for (number, &outputs) in (1..).zip(self.channels) {
            let kernels = vec![outputs, inputs, self.kernel, self.kernel];
            tensors.push((format!("conv{number}.weight"), kernels));
            tensors.push((format!("conv{number}.bias"), vec![outputs]));
            inputs = outputs;
        }
        for (number, &outputs) in (1..).zip(self.hidden.iter().chain([&classes])) {
            tensors.push((format!("fc{number}.weight"), vec![outputs, features]));
            tensors.push((format!("fc{number}.bias"), vec![outputs]));
            features = outputs;
        }
        Some(Layout::new(tensors))
    }

    /// What convolutions and poolings leave of one side of an image; `None` if nothing.
    fn pooled_side(&self, side: usize) -> Option<usize> {
        let pooled = |side: usize, _| Some((side + 2 * self.padding).checked_sub(self.kernel - 1)? / 2);
        self.channels.iter().try_fold(side, pooled).filter(|&left| left > 0)
    }

    /// What the last layer takes.
    fn hidden(&self, parameters: &[Tensor], input: &Tensor) -> Result<Tensor> {
        let (convolutional, connected) = parameters.split_at(2 * self.channels.len());
        let mut features = input.flatten_from(1)?;
        if !convolutional.is_empty() {
            let convolution = Convolution { stride: 1, padding: self.padding };
            let mut images = input.unsqueeze(3)?;
            for layer in convolutional.chunks_exact(2) {
                images = convolution_with_pooling(convolution, &images, &layer[0], &layer[1])?;
            }
            // The weight of the next layer counts channel by channel.
            features = channel_by_channel(&images)?;
        }
        for layer in connected[..2 * self.hidden.len()].chunks_exact(2) {
            features = relu(&linear(&features, &layer[0], &layer[1])?)?;
        }
        Ok(features)
    }
}

impl Network for FeedForward {
    fn forward(&self, parameters: &[Tensor], input: &Tensor) -> Result<Tensor> {
        let (_, last) = parameters.split_at(parameters.len() - 2);
        let pieces = layers::pieces(input, &parameters[0])?;
        let logits = |piece| linear(&self.hidden(parameters, piece)?, &last[0], &last[1]);
        Tensor::cat(&pieces.iter().map(logits).collect::<Result<Vec<_>>>()?, 0)
    }

    fn represent(&self, parameters: &[Tensor], input: &Tensor) -> Result<Tensor> {
        let pieces = layers::pieces(input, &parameters[0])?;
        let hidden = pieces.iter().map(|piece| self.hidden(parameters, piece));
        Tensor::cat(&hidden.collect::<Result<Vec<_>>>()?, 0)
    }

    fn initialize(&self, entry: &Entry, values: &mut [f32], random: &mut Stream) {
        let is_weight = entry.shape.len() > 1;
        if is_weight {
            layers::xavier_uniform(&entry.shape, values, random);
        }
    }

    fn many_devices(&self, layout: &Layout, shape: &[usize]) -> Option<Box<dyn ManyDevices>> {
        Some(plain(layout, shape, self.padding))
    }
}
