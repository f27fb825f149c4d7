//! The windows of a convolution: forward, and back.

use candle_core::{Result, Tensor, bail};

/// Where a kernel is put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    /// Its sides.
    pub(super) kernel: usize,
    /// How far it moves on.
    pub(super) stride: usize,
    /// Rows and columns of zeros around the image.
    pub(super) padding: usize,
}

/// Windows of a convolution, and what they were of.
pub(super) struct Windows {
    /// `[m, n height width, kernel² channels]`, of the height and width that the convolution makes.
    pub(super) values: Tensor,
    /// `[m n, height, width, channels]` of the images.
    images: (usize, usize, usize, usize),
    /// Height and width that the convolution makes.
    pub(super) sides: (usize, usize),
    convolution: Convolution,
}

impl Convolution {
    /// What it makes of a side.
    fn side(self, length: usize) -> usize {
        (length + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Zeros behind a side, so that for each place in the kernel there is a whole number of strides.
    fn behind(self, length: usize) -> usize {
        self.kernel - 1 + self.stride * self.side(length) - self.padding - length
    }

    /// The windows of images `[m n, height, width, channels]` of so many `devices`.
    pub(super) fn windows(self, images: &Tensor, devices: usize) -> Result<Windows> {
        let shape = images.dims4()?;
        let (_, height, width, channels) = shape;
        let kernel = self.kernel;
        let sides = (self.side(height), self.side(width));
        let padded = images.pad_with_zeros(1, self.padding, self.behind(height))?;
        let padded = padded.pad_with_zeros(2, self.padding, self.behind(width))?;
        let rows = (0..kernel).map(|top| self.take(&padded, 1, top, sides.0)).collect::<Result<Vec<_>>>()?;
        let place = |place: usize| self.take(&rows[place / kernel], 2, place % kernel, sides.1);
        let places = (0..kernel * kernel).map(place).collect::<Result<Vec<_>>>()?;
        let values = Tensor::stack(&places, 4)?.reshape((devices, (), kernel * kernel * channels))?;
        Ok(Windows { values, images: shape, sides, convolution: self })
    }

    /// `count` rows or columns of images, from `start` on, one for each stride.
    fn take(self, images: &Tensor, dim: usize, start: usize, count: usize) -> Result<Tensor> {
        thin(&images.narrow(dim, start, count * self.stride)?, dim, self.stride)
    }

    /// The gradient of what [`Convolution::take`] takes of, a side of `length` with its zeros.
    fn give_back(self, gradient: &Tensor, dim: usize, start: usize, length: usize) -> Result<Tensor> {
        let spread = spread(gradient, dim, self.stride)?;
        let behind = length - start - spread.dim(dim)?;
        spread.pad_with_zeros(dim, start, behind)
    }
}

/// The first of each `stride` rows or columns, of which there are whole strides.
pub(super) fn thin(images: &Tensor, dim: usize, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(images.clone());
    }
    let mut by_stride = images.dims().to_vec();
    by_stride[dim] /= stride;
    by_stride.insert(dim + 1, stride);
    images.reshape(by_stride)?.narrow(dim + 1, 0, 1)?.squeeze(dim + 1)
}

/// The gradient of what [`thin`] takes of.
pub(super) fn spread(gradient: &Tensor, dim: usize, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(gradient.clone());
    }
    let mut shape = gradient.dims().to_vec();
    shape[dim] *= stride;
    gradient.unsqueeze(dim + 1)?.pad_with_zeros(dim + 1, 0, stride - 1)?.reshape(shape)
}

impl Windows {
    /// The gradient of the images, from that of their windows.
    pub(super) fn back(&self, gradient: &Tensor) -> Result<Tensor> {
        let Windows { images: (count, height, width, channels), sides, convolution, .. } = *self;
        let kernel = convolution.kernel;
        let padded = |length| convolution.padding + length + convolution.behind(length);
        let gradient = gradient.reshape((count, sides.0, sides.1, channels, kernel * kernel))?;
        let place = |top: usize, left: usize| {
            let own = gradient.narrow(4, kernel * top + left, 1)?.squeeze(4)?;
            convolution.give_back(&own, 2, left, padded(width))
        };
        let row = |top: usize| {
            let row = sum((0..kernel).map(|left| place(top, left)))?;
            convolution.give_back(&row, 1, top, padded(height))
        };
        let images = sum((0..kernel).map(row))?;
        images.narrow(1, convolution.padding, height)?.narrow(2, convolution.padding, width)?.contiguous()
    }
}

/// The sum of at least one tensor.
fn sum(mut tensors: impl Iterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let Some(first) = tensors.next() else { bail!("there is nothing to add up") };
    tensors.try_fold(first?, |sum, other| sum + other?)
}
