//! The windows in a series.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::super::gemm::Element;
use super::super::operands::{by_type, operand, result, tensor, with_values};

/// Windows of `kernel` steps, `stride` steps apart, in a series with `padding` steps of zeros at either end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfolding {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Unfolding {
    /// `[batch, steps, features]` to `[batch, windows, kernel * features]`.
    ///
    /// # Errors
    /// If it has not three dimensions, or fewer steps than a window.
    pub(super) fn apply(self, input: &Tensor) -> Result<Tensor> {
        input.contiguous()?.apply_op1(self)
    }

    /// For each window where it begins in itself and in the series, and how many values of it lie in the series.
    fn places(self, steps: usize, features: usize, windows: usize) -> impl Iterator<Item = [usize; 3]> {
        (0..windows).map(move |window| {
            let begin = window * self.stride;
            let (before, first) = (self.padding.saturating_sub(begin), begin.saturating_sub(self.padding));
            let last = (begin + self.kernel).saturating_sub(self.padding).min(steps);
            [before * features, first * features, last.saturating_sub(first) * features]
        })
    }

    fn windows(self, dims: &[usize]) -> Result<[usize; 4]> {
        let &[batch, steps, features] = dims else { bail!("a series has three dimensions, not {dims:?}") };
        let Some(rest) = (steps + 2 * self.padding).checked_sub(self.kernel) else {
            bail!("a window of {} steps is longer than {steps}", self.kernel);
        };
        Ok([batch, steps, features, rest / self.stride + 1])
    }

    fn forward<T: Element>(self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [batch, steps, features, windows] = self.windows(layout.dims())?;
        let width = self.kernel * features;
        let mut output = vec![T::zero(); batch * windows * width];
        let series = operand::<T>(input, layout)?.chunks_exact((steps * features).max(1));
        for (series, output) in series.zip(output.chunks_exact_mut(windows * width)) {
            let places = self.places(steps, features, windows);
            for ([before, first, length], window) in places.zip(output.chunks_exact_mut(width)) {
                window[before..before + length].copy_from_slice(&series[first..first + length]);
            }
        }
        Ok(result(output, (batch, windows, width)))
    }

    fn backward<T: Element>(self, input: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let [batch, steps, features, windows] = self.windows(input.dims())?;
        let width = self.kernel * features;
        let mut sums = vec![T::zero(); batch * steps * features];
        with_values::<T, _>(gradient, |gradient| {
            let all = sums.chunks_exact_mut((steps * features).max(1));
            for (sums, gradient) in all.zip(gradient.chunks_exact(windows * width)) {
                let places = self.places(steps, features, windows);
                for ([before, first, length], window) in places.zip(gradient.chunks_exact(width)) {
                    let values = sums[first..first + length].iter_mut().zip(&window[before..]);
                    values.for_each(|(sum, &value)| *sum += value);
                }
            }
            Ok(())
        })?;
        tensor(sums, input.shape())
    }
}

impl CustomOp1 for Unfolding {
    fn name(&self) -> &'static str {
        "unfolding"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_type!(input.dtype(), T => self.forward::<T>(input, layout))
    }

    fn bwd(&self, input: &Tensor, _output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        by_type!(input.dtype(), T => self.backward::<T>(input, gradient)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gradient_check::{assert_gradient, random_tensor, values};
    use super::*;

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for (kernel, stride, padding) in [(3, 1, 0), (3, 2, 1), (5, 3, 4), (1, 1, 0), (2, 4, 1)] {
            let unfolding = Unfolding { kernel, stride, padding };
            assert_gradient(&[random_tensor(&[2, 5, 3], 1)], |x| unfolding.apply(&x[0]));
        }
    }

    #[test]
    fn a_window_holds_its_steps_and_zeros_beyond_the_ends() {
        let input = random_tensor(&[1, 3, 2], 1);
        let windows = Unfolding { kernel: 3, stride: 2, padding: 1 }.apply(&input).unwrap();
        assert_eq!(windows.dims(), [1, 2, 6]);
        let x = values(&input);
        assert_eq!(
            values(&windows),
            [[0., 0., x[0], x[1], x[2], x[3]], [x[2], x[3], x[4], x[5], 0., 0.]].concat()
        );
    }

    #[test]
    fn a_series_shorter_than_a_window_is_refused() {
        let refused = Unfolding { kernel: 4, stride: 1, padding: 0 }.apply(&random_tensor(&[1, 3, 2], 1));
        assert!(refused.unwrap_err().to_string().contains("longer than 3"));
    }
}
