//! Convolution whose forward and backward pass are matrix products.
//!
//! candle 0.11's own `conv2d` computes the gradient of its input one pixel at a time, which takes most of a
//! training step, computes it for pictures that nobody differentiates by, and takes the padding it needs from
//! the height alone. Here the windows under the kernel become the columns of a matrix (im2col), one example at
//! a time, so that the matrices stay small; the backward pass computes them anew instead of keeping them.

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, WithDType, bail};

/// A convolution with square kernels and zeros around the input, the same on each side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    /// Rows and columns from one window to the next.
    pub(super) stride: usize,
    /// Rows and columns of zeros around the input.
    pub(super) padding: usize,
}

impl Convolution {
    /// `[batch, inputs, height, width]` to `[batch, outputs, rows, columns]` with `weight`
    /// `[outputs, inputs, k, k]`, where `rows = (height + 2 padding - k) / stride + 1`, and `columns` alike.
    ///
    /// # Errors
    /// If the shapes do not fit each other.
    pub(super) fn apply(self, input: &Tensor, weight: &Tensor) -> Result<Tensor> {
        input.contiguous()?.apply_op2(&weight.contiguous()?, self)
    }

    fn windows(self, input: &[usize], weight: &[usize]) -> Result<Windows> {
        let (&[batch, channels, height, width], &[outputs, inputs, kernel, kernel_width]) = (input, weight)
        else {
            bail!("a convolution takes four dimensions each, not {input:?} and {weight:?}");
        };
        let count = |side: usize| Some((side + 2 * self.padding).checked_sub(kernel)? / self.stride + 1);
        let fits = kernel == kernel_width && inputs == channels;
        let (Some(rows), Some(columns), true) = (count(height), count(width), fits) else {
            bail!("a convolution of {input:?} cannot have the kernels {weight:?}");
        };
        let Convolution { stride, padding } = self;
        Ok(Windows { batch, channels, height, width, outputs, kernel, stride, padding, rows, columns })
    }
}

/// The shapes of one convolution.
struct Windows {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    rows: usize,
    columns: usize,
}

impl Windows {
    /// Number of values of one example.
    fn example(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Number of values in a window.
    fn depth(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    /// Number of windows.
    fn count(&self) -> usize {
        self.rows * self.columns
    }

    /// Calls `visit(in the example, in the matrix)` with the place of each value in `[channels, height, width]`
    /// and in `[depth, count]`, for all that are not padding.
    fn each(&self, mut visit: impl FnMut(usize, usize)) {
        // Where a window puts value `offset` of its side, if not on padding.
        let place = |window: usize, offset: usize, side: usize| {
            (window * self.stride + offset).checked_sub(self.padding).filter(|&at| at < side)
        };
        for depth in 0..self.depth() {
            let (channel, offset) = (depth / self.kernel.pow(2), depth % self.kernel.pow(2));
            let (row_offset, column_offset) = (offset / self.kernel, offset % self.kernel);
            for row in 0..self.rows {
                let Some(y) = place(row, row_offset, self.height) else { continue };
                let line = (channel * self.height + y) * self.width;
                let start = depth * self.count() + row * self.columns;
                for column in 0..self.columns {
                    if let Some(x) = place(column, column_offset, self.width) {
                        visit(line + x, start + column);
                    }
                }
            }
        }
    }

    /// The windows of one example as a matrix `[depth, count]`.
    fn unfold<T: WithDType>(&self, example: &[T]) -> Result<Tensor> {
        let mut matrix = vec![T::zero(); self.depth() * self.count()];
        self.each(|from, to| matrix[to] = example[from]);
        Tensor::from_vec(matrix, (self.depth(), self.count()), &Device::Cpu)
    }

    /// Adds each value of a matrix `[depth, count]` to the value of the example it is of.
    fn fold<T: WithDType>(&self, matrix: &[T], example: &mut [T]) {
        self.each(|to, from| example[to] += matrix[from]);
    }

    fn forward<T: WithDType>(&self, input: &[T], weight: &[T]) -> Result<(CpuStorage, Shape)> {
        let weight = Tensor::from_slice(weight, (self.outputs, self.depth()), &Device::Cpu)?;
        let mut output = Vec::with_capacity(self.batch * self.outputs * self.count());
        for example in input.chunks_exact(self.example()) {
            let product = weight.matmul(&self.unfold(example)?)?;
            output.extend(product.flatten_all()?.to_vec1::<T>()?);
        }
        let shape = Shape::from((self.batch, self.outputs, self.rows, self.columns));
        Ok((T::to_cpu_storage_owned(output), shape))
    }

    fn backward<T: WithDType>(
        &self,
        input: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // Of the data itself nobody wants the gradient.
        let mut input_gradient = input.track_op().then(|| vec![T::zero(); input.elem_count()]);
        let weight_rows = weight.detach().reshape((self.outputs, self.depth()))?;
        let mut weight_gradient = weight_rows.zeros_like()?;
        let values = input.flatten_all()?.to_vec1::<T>()?;
        let gradients = gradient.contiguous()?.reshape((self.batch, self.outputs, self.count()))?;
        for (index, example) in values.chunks_exact(self.example()).enumerate() {
            let gradient = gradients.get(index)?;
            weight_gradient = (weight_gradient + gradient.matmul(&self.unfold(example)?.t()?)?)?;
            if let Some(all) = &mut input_gradient {
                let matrix = weight_rows.t()?.matmul(&gradient)?.flatten_all()?.to_vec1::<T>()?;
                self.fold(&matrix, &mut all[index * self.example()..][..self.example()]);
            }
        }
        let input_gradient = match input_gradient {
            Some(values) => Some(Tensor::from_vec(values, input.shape(), &Device::Cpu)?),
            None => None,
        };
        Ok((input_gradient, Some(weight_gradient.reshape(weight.shape())?)))
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let windows = self.windows(input_layout.dims(), weight_layout.dims())?;
        let (Some((from, to)), Some((weight_from, weight_to))) =
            (input_layout.contiguous_offsets(), weight_layout.contiguous_offsets())
        else {
            bail!("a convolution takes contiguous tensors");
        };
        match (input, weight) {
            (CpuStorage::F32(input), CpuStorage::F32(weight)) => {
                windows.forward(&input[from..to], &weight[weight_from..weight_to])
            }
            (CpuStorage::F64(input), CpuStorage::F64(weight)) => {
                windows.forward(&input[from..to], &weight[weight_from..weight_to])
            }
            _ => bail!("a convolution takes 32 or 64 bits, the same for input and kernels"),
        }
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        _output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let windows = self.windows(input.dims(), weight.dims())?;
        match input.dtype() {
            candle_core::DType::F64 => windows.backward::<f64>(input, weight, gradient),
            _ => windows.backward::<f32>(input, weight, gradient),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient_check::{assert_gradient, random_tensor};
    use super::*;

    const VARIANTS: [Convolution; 4] = [
        Convolution { stride: 1, padding: 0 },
        Convolution { stride: 1, padding: 1 },
        Convolution { stride: 2, padding: 1 },
        Convolution { stride: 3, padding: 2 },
    ];
    const SIDES: [[usize; 2]; 5] = [[5, 5], [4, 7], [6, 3], [3, 3], [7, 8]];

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for convolution in VARIANTS {
            for [height, width] in SIDES {
                let inputs = [random_tensor(&[2, 2, height, width], 1), random_tensor(&[3, 2, 3, 3], 2)];
                assert_gradient(&inputs, |x| convolution.apply(&x[0], &x[1]));
            }
        }
    }

    #[test]
    fn it_computes_what_candle_does() {
        for convolution in VARIANTS {
            for [height, width] in SIDES {
                let input = random_tensor(&[2, 3, height, width], 1);
                let weight = random_tensor(&[4, 3, 3, 3], 2);
                let Convolution { stride, padding } = convolution;
                let expected = input.conv2d(&weight, padding, stride, 1, 1).unwrap();
                let output = convolution.apply(&input, &weight).unwrap();
                assert_eq!(output.dims(), expected.dims());
                let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
                for (value, expected) in values(&output).iter().zip(values(&expected)) {
                    assert!((value - expected).abs() < 1e-12, "{value} instead of {expected}");
                }
            }
        }
    }

    #[test]
    fn the_kernel_slides_without_being_flipped() {
        let tensor =
            |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        let input = tensor(&[1., 2., 3., 4., 5., 6.], &[1, 1, 2, 3]);
        let weight = tensor(&[1., 10., 100., 1000.], &[1, 1, 2, 2]);
        let output = Convolution { stride: 1, padding: 0 }.apply(&input, &weight).unwrap();
        assert_eq!(output.dims(), [1, 1, 1, 2]);
        assert_eq!(output.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [5421., 6532.]);
    }

    #[test]
    fn an_input_that_is_a_view_is_read_in_its_order() {
        let wide = random_tensor(&[2, 2, 5, 6], 1);
        let view = wide.transpose(2, 3).unwrap();
        let weight = random_tensor(&[3, 2, 3, 3], 2);
        let output = |input: &Tensor| VARIANTS[2].apply(input, &weight).unwrap();
        let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(values(output(&view)), values(output(&view.contiguous().unwrap())));
        assert_gradient(&[wide], |x| VARIANTS[2].apply(&x[0].transpose(2, 3)?, &weight));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let refused = |input: &[usize], weight: &[usize]| {
            let (input, weight) = (random_tensor(input, 1), random_tensor(weight, 2));
            VARIANTS[0].apply(&input, &weight).unwrap_err().to_string()
        };
        assert!(refused(&[1, 2, 5, 5], &[3, 1, 3, 3]).contains("cannot have the kernels"));
        assert!(refused(&[1, 1, 2, 5], &[3, 1, 3, 3]).contains("cannot have the kernels"));
        assert!(refused(&[1, 1, 5, 5], &[3, 1, 3, 2]).contains("cannot have the kernels"));
        assert!(refused(&[1, 5, 5], &[3, 1, 3, 3]).contains("four dimensions"));
    }
}
