//! Max-pooling, bias and rectifier in one.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::gemm::Element;
use super::operands::{by_type, operand, result, tensor, with_values};
use super::rectifier;

/// Maximum of each 2 x 2 window, plus a bias for its channel, or 0 if that is negative:
/// `[batch, height, width, channels]` to `[batch, height / 2, width / 2, channels]` with `bias` `[channels]`.
/// An odd last row or column is left out. NaN stays NaN.
///
/// This is what a bias, a rectifier and a pooling compute one after the other, in whatever order; but three
/// quarters of the values need neither bias nor rectifier. The gradient goes to the first maximum of a window in
/// row-major order, and nowhere if the result is 0.
///
/// # Errors
/// If the shapes do not fit each other.
pub(super) fn rectified_max_pool_2x2(input: &Tensor, bias: &Tensor) -> Result<Tensor> {
    input.contiguous()?.apply_op2(&bias.contiguous()?, Pooling)
}

struct Pooling;

/// The shape of the input of one pooling.
struct Geometry {
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl Geometry {
    fn new(input: &[usize], bias: &[usize]) -> Result<Self> {
        match (input, bias) {
            (&[batch, height, width, channels], &[biases])
                if height > 1 && width > 1 && channels > 0 && channels == biases =>
            {
                Ok(Geometry { batch, height, width, channels })
            }
            _ => bail!("a pooling of {input:?} cannot have the bias {bias:?}"),
        }
    }

    fn output(&self) -> [usize; 4] {
        [self.batch, self.height / 2, self.width / 2, self.channels]
    }

    /// Where in the input each window starts: its first row, and its second row.
    fn windows(&self) -> impl Iterator<Item = [usize; 2]> {
        let Geometry { batch, height, width, channels } = *self;
        (0..batch).flat_map(move |example| {
            (0..height / 2).flat_map(move |row| {
                (0..width / 2).map(move |column| {
                    let start = ((example * height + 2 * row) * width + 2 * column) * channels;
                    [start, start + width * channels]
                })
            })
        })
    }

    /// The four pixels of a window.
    fn pixels<'a, T>(&self, input: &'a [T], window: [usize; 2]) -> [&'a [T]; 4] {
        let [(a, b), (c, d)] =
            window.map(|start| input[start..][..2 * self.channels].split_at(self.channels));
        [a, b, c, d]
    }

    fn forward<T: Element>(&self, input: &[T], bias: &[T]) -> Vec<T> {
        let mut output = vec![T::zero(); self.output().iter().product()];
        for (window, output) in self.windows().zip(output.chunks_exact_mut(self.channels)) {
            largest(self.pixels(input, window), output);
            output
                .iter_mut()
                .zip(bias)
                .for_each(|(value, &bias)| *value = rectifier::rectified(*value + bias));
        }
        output
    }

    /// The gradients of the input and of the bias.
    fn backward<T: Element>(&self, input: &[T], output: &[T], gradient: &[T]) -> [Vec<T>; 2] {
        let mut input_gradient = vec![T::zero(); input.len()];
        let mut bias_gradient = vec![T::zero(); self.channels];
        let (mut maxima, mut passed) = (bias_gradient.clone(), bias_gradient.clone());
        let results = output.chunks_exact(self.channels).zip(gradient.chunks_exact(self.channels));
        for (window, (output, gradient)) in self.windows().zip(results) {
            passed
                .iter_mut()
                .zip(output.iter().zip(gradient))
                .for_each(|(to, pair)| *to = rectifier::passed(pair));
            bias_gradient.iter_mut().zip(&passed).for_each(|(sum, &passed)| *sum += passed);
            let pixels = self.pixels(input, window);
            largest(pixels, &mut maxima);
            for (index, pixel) in pixels.into_iter().enumerate() {
                let start = window[index / 2] + index % 2 * self.channels;
                let places = &mut input_gradient[start..][..self.channels];
                let rest = maxima.iter().zip(&mut passed);
                for ((place, value), (maximum, passed)) in places.iter_mut().zip(pixel).zip(rest) {
                    // The first maximum leaves nothing for the others.
                    let (own, left) =
                        if value == maximum { (*passed, T::zero()) } else { (T::zero(), *passed) };
                    (*place, *passed) = (own, left);
                }
            }
        }
        [input_gradient, bias_gradient]
    }
}

/// Sets `maxima` to the largest value of each channel, or to NaN if one is.
fn largest<T: Element>([first, others @ ..]: [&[T]; 4], maxima: &mut [T]) {
    maxima.copy_from_slice(first);
    for pixel in others {
        for (maximum, &value) in maxima.iter_mut().zip(pixel) {
            let is_nan = value.partial_cmp(&value).is_none();
            *maximum = if value > *maximum || is_nan { value } else { *maximum };
        }
    }
}

impl Pooling {
    fn forward<T: Element>(
        [input, bias]: [&CpuStorage; 2],
        [input_layout, bias_layout]: [&Layout; 2],
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(input_layout.dims(), bias_layout.dims())?;
        let output = geometry.forward::<T>(operand(input, input_layout)?, operand(bias, bias_layout)?);
        Ok(result(output, &geometry.output()))
    }

    fn backward<T: Element>(
        [input, bias, output, gradient]: [&Tensor; 4],
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let geometry = Geometry::new(input.dims(), bias.dims())?;
        let [input_gradient, bias_gradient] = with_values::<T, _>(input, |input| {
            with_values(output, |output| {
                with_values(gradient, |gradient| Ok(geometry.backward(input, output, gradient)))
            })
        })?;
        Ok((Some(tensor(input_gradient, input.shape())?), Some(tensor(bias_gradient, bias.shape())?)))
    }
}

impl CustomOp2 for Pooling {
    fn name(&self) -> &'static str {
        "rectified-max-pooling"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_type!(input.dtype(), T => Pooling::forward::<T>([input, bias], [input_layout, bias_layout]))
    }

    fn bwd(
        &self,
        input: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        by_type!(input.dtype(), T => Pooling::backward::<T>([input, bias, output, gradient]))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::super::gradient_check::{assert_gradient, random_tensor};
    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn pool(input: &[f32], shape: [usize; 4], bias: &[f32]) -> Vec<f32> {
        let input = Tensor::from_slice(input, &shape, &Device::Cpu).unwrap();
        let bias = Tensor::new(bias, &Device::Cpu).unwrap();
        values(&rectified_max_pool_2x2(&input, &bias).unwrap())
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for [height, width] in [[4, 4], [5, 4], [4, 7], [3, 5], [2, 2]] {
            let inputs = [random_tensor(&[2, height, width, 3], 1), random_tensor(&[3], 2)];
            assert_gradient(&inputs, |x| rectified_max_pool_2x2(&x[0], &x[1]));
        }
    }

    #[test]
    fn it_is_a_bias_a_rectifier_and_a_pooling() {
        let (input, bias) = (random_tensor(&[3, 5, 7, 4], 1), random_tensor(&[4], 2));
        let rectified = input.broadcast_add(&bias).unwrap().relu().unwrap();
        let channels_first = rectified.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let expected = channels_first.max_pool2d(2).unwrap().permute((0, 2, 3, 1)).unwrap();
        let output = rectified_max_pool_2x2(&input, &bias).unwrap();
        assert_eq!(output.dims(), expected.dims());
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(values(&output), values(&expected));
    }

    #[test]
    fn it_takes_each_window_and_leaves_an_odd_edge_out() {
        let input: Vec<f32> = (0..15u8).map(f32::from).collect();
        assert_eq!(pool(&input, [1, 3, 5, 1], &[0.]), [6., 8.]);
        assert_eq!(pool(&input, [1, 3, 5, 1], &[-7.]), [0., 1.]);
    }

    #[test]
    fn nan_stays_nan_wherever_it_is() {
        for place in 0..4 {
            let mut input = [1f32; 4];
            input[place] = f32::NAN;
            assert!(pool(&input, [1, 2, 2, 1], &[0.])[0].is_nan(), "{place}");
        }
    }

    #[test]
    fn equal_maxima_share_one_gradient() {
        let blank = Var::zeros((1, 3, 4, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        let gradient = |bias: f32| {
            let bias = Tensor::new(&[bias], &Device::Cpu).unwrap();
            let sum = rectified_max_pool_2x2(&blank, &bias).unwrap().sum_all().unwrap();
            values(sum.backward().unwrap().get(&blank).unwrap())
        };
        assert_eq!(gradient(1.), [1., 0., 1., 0., 0., 0., 0., 0., 0., 0., 0., 0.]);
        assert_eq!(gradient(0.), [0.; 12]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (input, bias) in [(&[1, 2, 2, 3][..], 2), (&[1, 1, 2, 3], 3), (&[2, 2, 3], 3)] {
            let refused = rectified_max_pool_2x2(&random_tensor(input, 1), &random_tensor(&[bias], 2));
            assert!(refused.unwrap_err().to_string().contains("cannot have the bias"));
        }
    }
}
