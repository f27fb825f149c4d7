//! Loss and gradient of the networks of m devices at once.

use candle_core::{Result, Tensor};
use shared::models::{Model, ModelName};

use super::layers::{
    Pooled, block, cross_entropy, linear, linear_gradients, pool, rectify, windows, windows_back,
};

/// Convolutions 3 x 3, each rectified and pooled, then fully connected layers, rectified but for the last: logistic
/// regression is one of those, the paper's network two of each.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// Shapes of weights and biases in turn, in the order in which they lie in a model.
    shapes: Vec<Vec<usize>>,
    /// Shape of an example.
    input: Vec<usize>,
}

/// What the way forward leaves for the way back.
struct Passed {
    /// Weights and biases of all devices, in the order of the shapes.
    weights: Vec<Tensor>,
    convolved: Vec<Convolved>,
    /// Of each fully connected layer: its input, and where the rectifier blocked its output.
    connected: Vec<(Tensor, Tensor)>,
}

/// What a convolution remembers for the way back.
struct Convolved {
    input: (usize, usize, usize, usize),
    windows: Tensor,
    output: (usize, usize, usize, usize),
    pooled: Pooled,
    blocked: Tensor,
}

impl Network {
    /// The network of `model`, if it is one of those.
    pub(super) fn of(name: ModelName, model: &dyn Model, input: &[usize]) -> Option<Self> {
        let is_known = match name {
            ModelName::LogisticRegression | ModelName::Dnn => true,
            ModelName::ResNet20 => false,
        };
        let shapes = model.layout().entries().iter().map(|entry| entry.shape.clone()).collect();
        is_known.then(|| Network { shapes, input: input.to_vec() })
    }

    /// Values of an example.
    pub(super) fn features(&self) -> usize {
        self.input.iter().product()
    }

    /// The mean loss of each device, `[m]`, and its gradient, `[m, d]`, under `parameters`, `[m, d]`, for `examples`,
    /// `[m, n, features]`, with ones at their classes in `right`, `[m, n, classes]`.
    pub(super) fn loss_and_gradient(
        &self,
        parameters: &Tensor,
        examples: &Tensor,
        right: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let (devices, count, _) = examples.dims3()?;
        let (logits, Passed { weights, convolved, connected }) = self.forward(parameters, examples)?;
        let convolutions = convolved.len();
        let (convolutional, weights) = weights.split_at(2 * convolutions);
        let (loss, mut gradient) = cross_entropy(&logits, right)?;
        // From the last layer to the first, biases before weights.
        let mut learnt = Vec::new();
        for (layer, weights) in weights.chunks_exact(2).enumerate().rev() {
            let (input, blocked) = &connected[layer];
            if layer + 1 < connected.len() {
                gradient = block(blocked, &gradient)?;
            }
            let own = linear_gradients(input, &gradient)?;
            learnt.extend([own.bias, own.weight]);
            if layer > 0 || convolutions > 0 {
                gradient = gradient.matmul(&weights[0])?;
            }
        }
        for (layer, convolved) in convolved.iter().enumerate().rev() {
            let image = convolved.pooled.images.dims4()?;
            if layer + 1 == convolutions {
                let (_, height, width, channels) = image;
                let by_channel = gradient.reshape((devices * count, channels, height, width))?;
                gradient = by_channel.permute((0, 2, 3, 1))?.contiguous()?;
            }
            gradient = convolved.pooled.back(&block(&convolved.blocked, &gradient)?, convolved.output)?;
            let outputs = gradient.dim(3)?;
            let by_device = gradient.reshape((devices, (), outputs))?;
            let own = linear_gradients(&convolved.windows, &by_device)?;
            learnt.extend([own.bias, own.weight]);
            if layer > 0 {
                let weight = flat(&convolutional[2 * layer])?;
                gradient = windows_back(&by_device.matmul(&weight)?, convolved.input)?;
            }
        }
        learnt.reverse();
        let learnt = learnt.iter().map(|gradient| gradient.flatten_from(1)).collect::<Result<Vec<_>>>()?;
        Ok((loss, Tensor::cat(&learnt, 1)?))
    }

    /// The logits of each device, `[m, n, classes]`, under `parameters`, `[m, d]`, for `examples`, `[m, n, features]`.
    pub(super) fn logits(&self, parameters: &Tensor, examples: &Tensor) -> Result<Tensor> {
        Ok(self.forward(parameters, examples)?.0)
    }

    /// [`Network::logits`], and what is needed for the way back.
    fn forward(&self, parameters: &Tensor, examples: &Tensor) -> Result<(Tensor, Passed)> {
        let weights = self.weights(parameters)?;
        let convolutions = self.shapes.iter().filter(|shape| shape.len() == 4).count();
        let (convolutional, layers) = weights.split_at(2 * convolutions);
        let (convolved, mut input) = self.convolve(convolutional, examples)?;
        let mut connected = Vec::new();
        let last = layers.len() / 2 - 1;
        for (layer, weights) in layers.chunks_exact(2).enumerate() {
            let output = linear(&input, &weights[0], &weights[1])?;
            let (output, blocked) = if layer < last { rectify(&output)? } else { (output.clone(), output) };
            connected.push((input, blocked));
            input = output;
        }
        Ok((input, Passed { weights, convolved, connected }))
    }

    /// Through the convolutions: what they remember, and `[m, n, features]` for the layers behind.
    fn convolve(&self, weights: &[Tensor], examples: &Tensor) -> Result<(Vec<Convolved>, Tensor)> {
        let (devices, count, _) = examples.dims3()?;
        if weights.is_empty() {
            return Ok((Vec::new(), examples.clone()));
        }
        let mut images = examples.reshape((devices * count, self.input[0], self.input[1], 1))?;
        let mut all = Vec::new();
        for weights in weights.chunks_exact(2) {
            let input = images.dims4()?;
            let windows = windows(&images, devices)?;
            let values = linear(&windows, &flat(&weights[0])?, &weights[1])?;
            let output = (input.0, input.1 - 2, input.2 - 2, values.dim(2)?);
            let pooled = pool(&values.reshape(output)?)?;
            let blocked;
            (images, blocked) = rectify(&pooled.images)?;
            all.push(Convolved { input, windows, output, pooled, blocked });
        }
        // The weight of the next layer counts channel by channel.
        let features = images.permute((0, 3, 1, 2))?.contiguous()?.reshape((devices, count, ()))?;
        Ok((all, features))
    }

    /// The weights and biases of all devices, `[m, ...]` each.
    fn weights(&self, parameters: &Tensor) -> Result<Vec<Tensor>> {
        let devices = parameters.dim(0)?;
        let mut start = 0;
        let mut take = |shape: &Vec<usize>| {
            let length = shape.iter().product();
            let values = parameters.narrow(1, start, length)?.contiguous()?;
            start += length;
            values.reshape([&[devices], shape.as_slice()].concat())
        };
        self.shapes.iter().map(&mut take).collect()
    }
}

/// The weight of a convolution, `[m, out, in, 3, 3]`, as that of its windows.
fn flat(weight: &Tensor) -> Result<Tensor> {
    weight.flatten_from(2)
}
