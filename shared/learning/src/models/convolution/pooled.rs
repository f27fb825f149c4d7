//! Convolution and pooling in one operation.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::super::gemm::Element;
use super::super::operands::{by_type, operand, result, tensor, with_values};
use super::super::reversal::kernels;
use super::Convolution;
use super::geometry::Geometry;
use super::pooling::Pooling;
use super::raster::Raster;

/// [`Convolution::apply`], then [`Pooling`]: `[batch, height, width, inputs]` to `[batch, rows / 2, columns / 2, outputs]`
/// with `weight` `[outputs, inputs, k, k]` and `bias` `[outputs]`.
///
/// What a convolution makes of an example is four times what the pooling leaves of it. Here it never leaves the
/// processor's caches, nor does its gradient.
///
/// # Errors
/// If the shapes do not fit each other.
pub(in super::super) fn convolution_with_pooling(
    convolution: Convolution,
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let operation = Pooled { convolution, places: OnceLock::new() };
    input.contiguous()?.apply_op3(&kernels(weight)?, &bias.contiguous()?, operation)
}

struct Pooled {
    convolution: Convolution,
    /// Where the maxima were found in the forward pass.
    places: OnceLock<Vec<u8>>,
}

impl Pooled {
    fn geometry(&self, input: &[usize], kernels: &[usize], bias: &[usize]) -> Result<Geometry> {
        let geometry = Geometry::new(self.convolution, input, kernels)?;
        let Geometry { rows, columns, outputs, .. } = geometry;
        if bias != [outputs] || rows < 2 || columns < 2 {
            bail!("a pooling of {:?} cannot have the bias {bias:?}", [rows, columns, outputs]);
        }
        Ok(geometry)
    }

    fn forward<T: Element>(
        &self,
        [input, kernels, bias]: [&CpuStorage; 3],
        layouts: [&Layout; 3],
    ) -> Result<(CpuStorage, Shape)> {
        let [input_layout, kernels_layout, bias_layout] = layouts;
        let geometry = self.geometry(input_layout.dims(), kernels_layout.dims(), bias_layout.dims())?;
        let mut correlation = geometry.forward(operand::<T>(kernels, kernels_layout)?);
        let bias = operand(bias, bias_layout)?;
        let dims = pooled(&geometry);
        let mut output = vec![T::zero(); dims.iter().product()];
        let mut places = vec![0; output.len()];
        let example = output.len() / geometry.batch;
        let results = output.chunks_exact_mut(example).zip(places.chunks_exact_mut(example));
        let examples = operand(input, input_layout)?.chunks_exact(geometry.example());
        for (example, (output, places)) in examples.zip(results) {
            let (picture, raster) = correlation.of(example, geometry.input_raster());
            pooling(&geometry, raster).forward(picture, bias, output, places);
        }
        if self.places.set(places).is_err() {
            bail!("an operation is applied once");
        }
        Ok(result(output, &dims))
    }

    fn backward<T: Element>(
        &self,
        [input, kernels, bias, output, gradient]: [&Tensor; 5],
    ) -> Result<[Option<Tensor>; 3]> {
        let geometry = self.geometry(input.dims(), kernels.dims(), bias.dims())?;
        let Some(places) = self.places.get() else { bail!("there was no forward pass") };
        // Of the data itself nobody wants the gradient.
        let wanted = input.track_op();
        let [of_input, of_kernels, of_bias] = with_values::<T, _>(input, |input| {
            with_values(kernels, |kernels| {
                with_values(output, |output| {
                    with_values(gradient, |gradient| {
                        let kernels = wanted.then_some(kernels);
                        Ok(gradients(&geometry, input, kernels, [output, gradient], places))
                    })
                })
            })
        })?;
        let of_input = if wanted { Some(tensor(of_input, input.shape())?) } else { None };
        Ok([of_input, Some(tensor(of_kernels, kernels.shape())?), Some(tensor(of_bias, bias.shape())?)])
    }
}

/// Dimensions of what is left.
fn pooled(convolution: &Geometry) -> [usize; 4] {
    let &Geometry { batch, rows, columns, outputs, .. } = convolution;
    [batch, rows / 2, columns / 2, outputs]
}

/// The pooling of what the convolution makes of an example, which lies in `raster`.
fn pooling(convolution: &Geometry, raster: Raster) -> Pooling {
    Pooling { width: convolution.columns, channels: convolution.outputs, raster }
}

/// The gradients of input, kernels and bias; that of the input is empty without `kernels`.
fn gradients<T: Element>(
    convolution: &Geometry,
    input: &[T],
    kernels: Option<&[T]>,
    [output, gradient]: [&[T]; 2],
    places: &[u8],
) -> [Vec<T>; 3] {
    let mut of_input = vec![T::zero(); if kernels.is_some() { input.len() } else { 0 }];
    let mut of_kernels = convolution.kernel_gradient();
    let mut of_bias = vec![T::zero(); convolution.outputs];
    let mut correlation = kernels.map(|kernels| convolution.input_gradient(kernels));
    let mut of_inputs = of_input.chunks_exact_mut(convolution.example());
    let example = output.len() / convolution.batch;
    let results = output.chunks_exact(example).zip(gradient.chunks_exact(example));
    let results = results.zip(places.chunks_exact(example));
    for (example, ((output, gradient), places)) in input.chunks_exact(convolution.example()).zip(results) {
        let (picture, raster) = of_kernels.gradient();
        pooling(convolution, raster).backward([output, gradient], places, picture, &mut of_bias);
        if let (Some(correlation), Some(of_input)) = (&mut correlation, of_inputs.next()) {
            correlation.write(picture, raster, of_input);
        }
        of_kernels.add(example, convolution.input_raster());
    }
    [of_input, of_kernels.finish(), of_bias]
}

impl CustomOp3 for Pooled {
    fn name(&self) -> &'static str {
        "convolution-with-pooling"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        kernels: &CpuStorage,
        kernels_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let layouts = [input_layout, kernels_layout, bias_layout];
        by_type!(input.dtype(), T => self.forward::<T>([input, kernels, bias], layouts))
    }

    fn bwd(
        &self,
        input: &Tensor,
        kernels: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_type!(input.dtype(), T => self.backward::<T>([input, kernels, bias, output, gradient]))
            .map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::super::super::gradient_check::{self, assert_gradient, random_tensor};
    use super::*;

    const PLAIN: Convolution = Convolution { stride: 1, padding: 0 };
    const PADDED: Convolution = Convolution { stride: 1, padding: 1 };

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The pooling alone: of one channel, behind a kernel that changes nothing.
    fn pool(input: &Tensor, bias: f32) -> Tensor {
        let one = Tensor::ones((1, 1, 1, 1), DType::F32, &Device::Cpu).unwrap();
        convolution_with_pooling(PLAIN, input, &one, &Tensor::new(&[bias], &Device::Cpu).unwrap()).unwrap()
    }

    fn pooled(input: &[f32], shape: [usize; 4], bias: f32) -> Vec<f32> {
        values(&pool(&Tensor::from_slice(input, &shape, &Device::Cpu).unwrap(), bias))
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for [height, width] in [[4, 4], [5, 4], [4, 7], [5, 6]] {
            let [weight, bias] = [random_tensor(&[3, 2, 3, 3], 2), random_tensor(&[3], 3)];
            let inputs = [random_tensor(&[2, height, width, 2], 1), weight, bias];
            for convolution in [PLAIN, PADDED] {
                assert_gradient(&inputs, |x| convolution_with_pooling(convolution, &x[0], &x[1], &x[2]));
            }
        }
    }

    #[test]
    fn it_is_a_convolution_a_bias_a_rectifier_and_a_pooling() {
        let (input, bias) = (random_tensor(&[3, 7, 9, 2], 1), random_tensor(&[4], 2));
        let weight = random_tensor(&[4, 2, 3, 3], 3);
        let convolved = PLAIN.apply(&input, &weight).unwrap();
        let rectified = convolved.broadcast_add(&bias).unwrap().relu().unwrap();
        let channels_first = rectified.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        let expected = channels_first.max_pool2d(2).unwrap().permute((0, 2, 3, 1)).unwrap();
        let output = convolution_with_pooling(PLAIN, &input, &weight, &bias).unwrap();
        assert_eq!(output.dims(), expected.dims());
        assert_eq!(gradient_check::values(&output), gradient_check::values(&expected));
    }

    #[test]
    fn it_takes_each_window_and_leaves_an_odd_edge_out() {
        let input: Vec<f32> = (0..15u8).map(f32::from).collect();
        assert_eq!(pooled(&input, [1, 3, 5, 1], 0.), [6., 8.]);
        assert_eq!(pooled(&input, [1, 3, 5, 1], -7.), [0., 1.]);
    }

    #[test]
    fn nan_stays_nan_wherever_it_is() {
        for place in 0..4 {
            let mut input = [1f32; 4];
            input[place] = f32::NAN;
            assert!(pooled(&input, [1, 2, 2, 1], 0.)[0].is_nan(), "{place}");
        }
    }

    #[test]
    fn equal_maxima_share_one_gradient() {
        let blank = Var::zeros((1, 3, 4, 1), DType::F32, &Device::Cpu).unwrap();
        let gradient = |bias: f32| {
            let sum = pool(&blank, bias).sum_all().unwrap();
            values(sum.backward().unwrap().get(&blank).unwrap())
        };
        assert_eq!(gradient(1.), [1., 0., 1., 0., 0., 0., 0., 0., 0., 0., 0., 0.]);
        assert_eq!(gradient(0.), [0.; 12]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (input, bias) in [(&[1, 4, 4, 2][..], 2), (&[1, 3, 4, 2], 3), (&[1, 4, 3, 2], 3)] {
            let [input, weight] = [random_tensor(input, 1), random_tensor(&[3, 2, 3, 3], 2)];
            let refused = convolution_with_pooling(PLAIN, &input, &weight, &random_tensor(&[bias], 3));
            assert!(refused.unwrap_err().to_string().contains("cannot have the bias"));
        }
    }
}
