//! Batch normalisation, a shortcut and a rectifier in one.
//!
//! Were these three operations, or the dozen that candle would make of them, each would write a tensor as large as
//! the features of a whole batch, keep it for the backward pass and read it again.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::gemm::Element;
use super::operands::{by_type, operand, result, tensor, with_values};
use super::rectifier::{passed, rectified};

/// Keeps the deviation of a constant channel from being 0.
const EPSILON: f64 = 1e-5;
/// About so many values are worked on in one go: whole pixels, because a loop over a few channels is slow.
const STRIP: usize = 256;
/// So many strips are added up in the type of the tensor before their sum goes on in 64 bits.
const RUN: usize = 16;

/// Batch normalisation by the statistics of one batch.
#[derive(Clone, Debug)]
pub(super) struct BatchNorm {
    /// Number of pixels in the batch.
    count: f64,
    /// Mean of each channel over all pixels.
    mean: Vec<f64>,
    /// 1 / root of (variance + 1e-5) of each channel.
    scale: Vec<f64>,
    /// Whether what is negative becomes 0.
    rectifies: bool,
}

impl BatchNorm {
    /// Takes the statistics of a batch: of the examples of all `pieces` `[examples, height, width, channels]`.
    ///
    /// # Errors
    /// If there is no piece, or if they do not have equally many channels.
    pub(super) fn of(pieces: &[Tensor]) -> Result<Self> {
        let Some(first) = pieces.first() else { bail!("there is no batch to normalise") };
        let (_, _, _, channels) = first.dims4()?;
        if channels == 0 || pieces.iter().any(|piece| piece.dims().last() != Some(&channels)) {
            bail!("the pieces of a batch have other numbers of channels than {channels}");
        }
        by_type!(first.dtype(), T => BatchNorm::of_type::<T>(pieces, channels))
    }

    fn of_type<T: Element>(pieces: &[Tensor], channels: usize) -> Result<Self> {
        let count = (pieces.iter().map(Tensor::elem_count).sum::<usize>() / channels) as f64;
        let mean = channel_means::<T>(pieces, &vec![0.0; channels], |value, _| value)?;
        let variances = channel_means::<T>(pieces, &mean, |value, mean| (value - mean) * (value - mean))?;
        let scale = variances.iter().map(|variance| 1.0 / (variance + EPSILON).sqrt()).collect();
        Ok(BatchNorm { count, mean, scale, rectifies: true })
    }

    /// The same, that leaves what is negative as it is.
    pub(super) fn without_rectifier(self) -> Self {
        BatchNorm { rectifies: false, ..self }
    }

    /// Shifts and scales each channel of `input`, a piece of the batch `[examples, height, width, channels]`, to
    /// mean 0 and variance 1 over the batch, scales it by `gamma` and shifts it by `beta` (`[channels]` each), adds
    /// the `shortcut` (as large as the input) if there is one, and sets what is negative to 0, unless it is
    /// [without a rectifier](BatchNorm::without_rectifier).
    ///
    /// The gradient of the input is right if it is the whole batch: the statistics count as functions of it.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub(super) fn apply(
        &self,
        input: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        shortcut: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (input, affine) = (input.contiguous()?, Tensor::stack(&[gamma, beta], 0)?);
        match shortcut {
            None => input.apply_op2(&affine, self.clone()),
            Some(shortcut) => input.apply_op3(&affine, &shortcut.contiguous()?, self.clone()),
        }
    }

    fn check(&self, input: &[usize], affine: &[usize], shortcut: Option<&[usize]>) -> Result<()> {
        let channels = self.mean.len();
        let fits = input.last() == Some(&channels) && affine == [2, channels];
        if !fits || shortcut.is_some_and(|shortcut| shortcut != input) {
            bail!("a normalisation of {channels} channels takes no {input:?} with {affine:?}, {shortcut:?}");
        }
        Ok(())
    }

    /// For each value of a strip what it is multiplied with once it is centred: gamma / deviation.
    fn factors<T: Element>(&self, affine: &[T]) -> Vec<T> {
        let factor = |(&gamma, &scale): (&T, &f64)| gamma * T::from_f64(scale);
        strip(&affine.iter().zip(&self.scale).map(factor).collect::<Vec<T>>())
    }

    fn forward<T: Element>(
        &self,
        (input, input_layout): (&CpuStorage, &Layout),
        (affine, affine_layout): (&CpuStorage, &Layout),
        shortcut: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        self.check(input_layout.dims(), affine_layout.dims(), shortcut.map(|(_, layout)| layout.dims()))?;
        let (input, affine) = (operand::<T>(input, input_layout)?, operand::<T>(affine, affine_layout)?);
        let shortcut = shortcut.map(|(storage, layout)| operand::<T>(storage, layout)).transpose()?;
        let (mean, factors) = (strip(&to_type::<T>(&self.mean)), self.factors(&affine[..self.mean.len()]));
        let beta = strip(&affine[self.mean.len()..]);
        let mut output = Vec::with_capacity(input.len());
        for (index, values) in input.chunks(mean.len()).enumerate() {
            let channels = mean.iter().zip(&factors).zip(&beta);
            let normalised = values
                .iter()
                .zip(channels)
                .map(|(&value, ((&mean, &factor), &beta))| (value - mean) * factor + beta);
            match shortcut {
                None if !self.rectifies => output.extend(normalised),
                None => output.extend(normalised.map(rectified)),
                Some(shortcut) if !self.rectifies => {
                    let shortcut = &shortcut[index * mean.len()..];
                    output.extend(normalised.zip(shortcut).map(|(value, &other)| value + other));
                }
                Some(shortcut) => {
                    let shortcut = &shortcut[index * mean.len()..];
                    output.extend(normalised.zip(shortcut).map(|(value, &other)| rectified(value + other)));
                }
            }
        }
        Ok(result(output, input_layout.shape()))
    }

    /// The gradients of the input, of `[gamma, beta]` and of the shortcut.
    fn backward<T: Element>(
        &self,
        [input, affine, output, gradient]: [&Tensor; 4],
        shortcut: Option<&Tensor>,
    ) -> Result<[Option<Tensor>; 3]> {
        let mut values: Vec<T> = with_values(output, |output| {
            with_values(gradient, |gradient| {
                if !self.rectifies {
                    return Ok(gradient.to_vec());
                }
                Ok(output.iter().zip(gradient).map(passed).collect())
            })
        })?;
        let shortcut = match shortcut {
            Some(shortcut) if shortcut.track_op() => Some(tensor(values.clone(), shortcut.shape())?),
            _ => None,
        };
        let affine_gradient = with_values(input, |input| {
            with_values(affine, |affine| Ok(self.backward_values(input, affine, &mut values)))
        })?;
        let affine = tensor(to_type::<T>(&affine_gradient), affine.shape())?;
        Ok([Some(tensor(values, input.shape())?), Some(affine), shortcut])
    }

    /// Makes of the gradient of the normalised values that of the input; returns those of gamma and of beta.
    fn backward_values<T: Element>(&self, input: &[T], affine: &[T], gradient: &mut [T]) -> Vec<f64> {
        let mean = to_type::<T>(&self.mean);
        let (mut beta, mut gamma) = (vec![0.0; mean.len()], vec![0.0; mean.len()]);
        add_up([gradient, input], &mean, &mut beta, |gradient, _, _| gradient);
        add_up([gradient, input], &mean, &mut gamma, |gradient, value, mean| gradient * (value - mean));
        gamma.iter_mut().zip(&self.scale).for_each(|(sum, scale)| *sum *= scale);

        // Each value moves the mean, and the variance, of its channel.
        let by_mean: Vec<T> = beta.iter().map(|sum| T::from_f64(sum / self.count)).collect();
        let by_variance =
            gamma.iter().zip(&self.scale).map(|(sum, scale)| T::from_f64(sum * scale / self.count));
        let by_variance: Vec<T> = by_variance.collect();
        let (mean, by_mean, by_variance) = (strip(&mean), strip(&by_mean), strip(&by_variance));
        let factors = self.factors(&affine[..self.mean.len()]);
        for (gradient, input) in gradient.chunks_mut(mean.len()).zip(input.chunks(mean.len())) {
            let channels = mean.iter().zip(&factors).zip(by_mean.iter().zip(&by_variance));
            for ((gradient, &value), ((&mean, &factor), (&by_mean, &by_variance))) in
                gradient.iter_mut().zip(input).zip(channels)
            {
                *gradient = (*gradient - by_mean - (value - mean) * by_variance) * factor;
            }
        }
        [gamma, beta].concat()
    }
}

/// For each channel the mean of the `term`s of all its values: of the value and of the channel's `centre`.
fn channel_means<T: Element>(
    pieces: &[Tensor],
    centre: &[f64],
    term: impl Fn(T, T) -> T,
) -> Result<Vec<f64>> {
    let (mut sums, centre) = (vec![0.0; centre.len()], to_type(centre));
    let mut count = 0;
    for piece in pieces {
        count += piece.elem_count() / centre.len();
        with_values(piece, |values| {
            add_up([values, values], &centre, &mut sums, |value, _, centre| term(value, centre));
            Ok(())
        })?;
    }
    Ok(sums.into_iter().map(|sum| sum / count as f64).collect())
}

/// Adds to each channel's sum the `term`s of all its values: of those in both tensors, and of its `centre`.
fn add_up<T: Element>([left, right]: [&[T]; 2], centre: &[T], sums: &mut [f64], term: impl Fn(T, T, T) -> T) {
    let centre = strip(centre);
    let mut partial = vec![T::zero(); centre.len()];
    let run = RUN * centre.len();
    for (left, right) in left.chunks(run).zip(right.chunks(run)) {
        partial.fill(T::zero());
        for (left, right) in left.chunks(centre.len()).zip(right.chunks(centre.len())) {
            let values = left.iter().zip(right).zip(&centre);
            for (sum, ((&left, &right), &centre)) in partial.iter_mut().zip(values) {
                *sum += term(left, right, centre);
            }
        }
        for pixel in partial.chunks_exact(sums.len()) {
            sums.iter_mut().zip(pixel).for_each(|(sum, partial)| *sum += partial.to_f64());
        }
    }
}

/// The values of the channels `[channels]`, for each pixel of a strip.
fn strip<T: Element>(channels: &[T]) -> Vec<T> {
    channels.repeat((STRIP / channels.len()).max(1))
}

fn to_type<T: Element>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::from_f64(value)).collect()
}

impl CustomOp2 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-normalisation"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_type!(input.dtype(), T => self.forward::<T>((input, input_layout), (affine, affine_layout), None))
    }

    fn bwd(
        &self,
        input: &Tensor,
        affine: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [input, affine, _] =
            by_type!(input.dtype(), T => self.backward::<T>([input, affine, output, gradient], None))?;
        Ok((input, affine))
    }
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-normalisation"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
        shortcut: &CpuStorage,
        shortcut_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shortcut = Some((shortcut, shortcut_layout));
        by_type!(input.dtype(), T => self.forward::<T>((input, input_layout), (affine, affine_layout), shortcut))
    }

    fn bwd(
        &self,
        input: &Tensor,
        affine: &Tensor,
        shortcut: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let tensors = [input, affine, output, gradient];
        by_type!(input.dtype(), T => self.backward::<T>(tensors, Some(shortcut))).map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::gradient_check::{assert_close, assert_gradient, random_tensor};
    use super::*;

    fn whole(input: &Tensor, gamma: &Tensor, beta: &Tensor, shortcut: Option<&Tensor>) -> Result<Tensor> {
        BatchNorm::of(std::slice::from_ref(input))?.apply(input, gamma, beta, shortcut)
    }

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for shape in [[3, 4, 3, 2], [1, 2, 5, 3], [4, 1, 1, 1], [3, 7, 10, 2]] {
            let affine = [random_tensor(&shape[3..], 2), random_tensor(&shape[3..], 3)];
            let [gamma, beta] = affine;
            let inputs = [random_tensor(&shape, 1), gamma, beta, random_tensor(&shape, 4)];
            assert_gradient(&inputs[..3], |x| whole(&x[0], &x[1], &x[2], None));
            assert_gradient(&inputs, |x| whole(&x[0], &x[1], &x[2], Some(&x[3])));
            let plain =
                |input: &Tensor| BatchNorm::of(std::slice::from_ref(input)).map(BatchNorm::without_rectifier);
            assert_gradient(&inputs[..3], |x| plain(&x[0])?.apply(&x[0], &x[1], &x[2], None));
            assert_gradient(&inputs, |x| plain(&x[0])?.apply(&x[0], &x[1], &x[2], Some(&x[3])));
        }
    }

    #[test]
    fn a_shortcut_may_be_the_input() {
        let inputs = [random_tensor(&[2, 3, 4, 2], 1), random_tensor(&[2], 2), random_tensor(&[2], 3)];
        assert_gradient(&inputs, |x| whole(&x[0], &x[1], &x[2], Some(&x[0])));
    }

    #[test]
    fn each_channel_gets_its_mean_and_deviation() {
        let tensor =
            |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        let (gamma, beta) = (tensor(&[2., 3.], &[2]), tensor(&[1., 5.], &[2]));
        let input = tensor(&[1., 100., 3., 100., 5., 100., 7., 100.], &[2, 1, 2, 2]);
        let values = |output: Tensor| output.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let assert_close = |values: Vec<f32>, expected: [f32; 8]| {
            let close = |(value, expected): (&f32, &f32)| (value - expected).abs() < 1e-4;
            assert!(values.iter().zip(&expected).all(close), "{values:?} instead of {expected:?}");
        };
        let (near, far) = (2. / 5f32.sqrt(), 6. / 5f32.sqrt());
        let alone = values(whole(&input, &gamma, &beta, None).unwrap());
        assert_close(alone, [0., 5., 1. - near, 5., 1. + near, 5., 1. + far, 5.]);
        let shortcut = tensor(&[9., 1., 0., 0., 0., 0., -9., -4.], &[2, 1, 2, 2]);
        let joined = values(whole(&input, &gamma, &beta, Some(&shortcut)).unwrap());
        assert_close(joined, [10. - far, 6., 1. - near, 5., 1. + near, 5., 0., 1.]);
    }

    #[test]
    fn pieces_are_normalised_as_the_whole_is() {
        let (input, gamma) = (random_tensor(&[5, 3, 4, 3], 1), random_tensor(&[3], 2));
        let expected = whole(&input, &gamma, &gamma, None).unwrap();
        let pieces = input.chunk(3, 0).unwrap();
        let norm = BatchNorm::of(&pieces).unwrap();
        let output: Vec<Tensor> =
            pieces.iter().map(|piece| norm.apply(piece, &gamma, &gamma, None).unwrap()).collect();
        assert_close(&Tensor::cat(&output, 0).unwrap(), &expected);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let input = random_tensor(&[2, 3, 3, 4], 1);
        let refused = |affine: &[usize], shortcut: &[usize]| {
            let (affine, shortcut) = (random_tensor(affine, 2), random_tensor(shortcut, 3));
            whole(&input, &affine, &affine, Some(&shortcut)).unwrap_err().to_string()
        };
        assert!(refused(&[3], &[2, 3, 3, 4]).contains("takes no"));
        assert!(refused(&[4], &[2, 3, 4, 3]).contains("takes no"));
        assert!(BatchNorm::of(&[]).is_err());
        assert!(BatchNorm::of(&[input.clone(), random_tensor(&[2, 3, 3, 5], 1)]).is_err());
    }
}
