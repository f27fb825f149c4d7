//! Pooling of images, `[m n, height, width, channels]`: forward, and back.

use candle_core::{Result, Tensor};

/// Which of 2 x 2 values are the largest: the left or right one of two neighbours in a row first, and the upper or lower
/// one of those then. That takes only comparisons, value by value, where GPUs are fast.
pub(super) struct Pooling {
    /// Where the larger of two neighbours in a row is the left one.
    left: Tensor,
    /// Where the larger of those in a column is the upper one.
    upper: Tensor,
    /// `[m n, height, width, channels]` before.
    images: (usize, usize, usize, usize),
}

/// The largest values, 2 x 2 to 1, the first of equal ones; an odd last row or column is left out.
pub(super) fn pool(images: &Tensor) -> Result<(Tensor, Pooling)> {
    let shape = images.dims4()?;
    let even = images.narrow(1, 0, shape.1 / 2 * 2)?.narrow(2, 0, shape.2 / 2 * 2)?;
    let (rows, left) = larger_of_two(&even, 2)?;
    let (pooled, upper) = larger_of_two(&rows, 1)?;
    Ok((pooled, Pooling { left, upper, images: shape }))
}

/// The larger of each two neighbours along `dim`, and where that is the first of them.
fn larger_of_two(images: &Tensor, dim: usize) -> Result<(Tensor, Tensor)> {
    let mut pairs = images.dims().to_vec();
    pairs[dim] /= 2;
    pairs.insert(dim + 1, 2);
    let pairs = images.reshape(pairs)?;
    let of_each = |place| pairs.narrow(dim + 1, place, 1)?.squeeze(dim + 1)?.contiguous();
    let (first, second) = (of_each(0)?, of_each(1)?);
    // A NaN is larger than anything, wherever it is.
    let is_first = (first.ge(&second)? + first.ne(&first)?)?;
    Ok((is_first.where_cond(&first, &second)?, is_first))
}

impl Pooling {
    /// The gradient of the images, from that of what they were pooled to.
    pub(super) fn back(&self, gradient: &Tensor) -> Result<Tensor> {
        let (_, height, width, _) = self.images;
        let even = to_the_larger(&self.left, &to_the_larger(&self.upper, gradient, 1)?, 2)?;
        even.pad_with_zeros(1, 0, height % 2)?.pad_with_zeros(2, 0, width % 2)
    }
}

/// The gradient of each two neighbours along `dim`, from that of the larger ones.
fn to_the_larger(is_first: &Tensor, gradient: &Tensor, dim: usize) -> Result<Tensor> {
    let nothing = gradient.zeros_like()?;
    let (first, second) =
        (is_first.where_cond(gradient, &nothing)?, is_first.where_cond(&nothing, gradient)?);
    let mut shape = gradient.dims().to_vec();
    shape[dim] *= 2;
    Tensor::stack(&[first, second], dim + 1)?.reshape(shape)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_first_of_the_largest_gets_the_gradient_and_nan_is_the_largest() {
        let nan = f32::NAN;
        let rows = [
            [1., 5., 2., 2., 9.],
            [3., 4., 2., 1., 9.],
            [nan, 7., 1., f32::INFINITY, 9.],
            [0., 8., nan, 3., 9.],
        ];
        let shape = (1, 4, 5, 1);
        let images = Tensor::new(&rows, &Device::Cpu).unwrap().reshape(shape).unwrap();
        let (values, pooling) = pool(&images).unwrap();
        let values = values.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values[..2], [5., 2.]);
        assert!(values[2].is_nan() && values.len() == 4, "{values:?}");
        let gradient = Tensor::new(&[[[[1_f32], [2.]], [[3.], [4.]]]], &Device::Cpu).unwrap();
        let back = pooling.back(&gradient).unwrap().reshape((4, 5)).unwrap();
        let back = back.to_vec2::<f32>().unwrap();
        assert_eq!(back[..2], [[0., 1., 2., 0., 0.], [0.; 5]]);
        assert_eq!((back[2][0], back[2][1], back[3][0], back[3][1]), (3., 0., 0., 0.));
    }
}
