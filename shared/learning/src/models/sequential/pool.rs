//! The layers that leave one value of a window.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Tensor, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::gemm::Element;
use super::super::operands::{by_type, operand, result, tensor, with_values};
use super::fitted::{Fault, Fitted, require};
use super::shape::Shape;
use super::{as_picture, side_after};

/// The largest value of each window, channel by channel. What is left at the end of a row or column is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MaxPool {
    /// Rows and columns of a window, or steps of a series; without, the window is all of it, and values come out, one for each
    /// channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// How far one window is from the next; by default as far as it is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<u32>,
}

/// The mean of each window, channel by channel. What is left at the end of a row or column is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AvgPool {
    /// Rows and columns of a window, or steps of a series; without, the window is all of it, and values come out, one for each
    /// channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// How far one window is from the next; by default as far as it is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<u32>,
}

impl MaxPool {
    pub(super) fn new(size: u32) -> Self {
        MaxPool { size: Some(size), stride: None }
    }

    /// Whether its windows are squares of 2 x 2 side by side.
    pub(super) fn halves(&self) -> bool {
        self.size == Some(2) && self.stride.is_none_or(|stride| stride == 2)
    }

    pub(super) fn fit(&self, input: Shape) -> std::result::Result<Fitted, Fault> {
        fit(input, self.size, self.stride, Kept::Largest)
    }
}

impl AvgPool {
    pub(super) fn new(size: u32) -> Self {
        AvgPool { size: Some(size), stride: None }
    }

    pub(super) fn fit(&self, input: Shape) -> std::result::Result<Fitted, Fault> {
        fit(input, self.size, self.stride, Kept::Mean)
    }
}

fn fit(
    input: Shape,
    size: Option<u32>,
    stride: Option<u32>,
    kept: Kept,
) -> std::result::Result<Fitted, Fault> {
    let input = input.decided();
    if let Shape::Values(_) = input {
        input.picture()?;
    }
    let (rows, columns, channels) = match input {
        Shape::Series { steps, features } => (1, steps, features),
        Shape::Picture { height, width, channels } => (height, width, channels),
        Shape::Open(..) | Shape::Values(_) => (1, 1, 1),
    };
    let is_series = matches!(input, Shape::Series { .. });
    let Some(size) = size else {
        require(stride.is_none(), || {
            "has a stride but no size, which makes the window all that comes in; give both, or neither"
                .to_owned()
        })?;
        let window = Windows { size: [rows, columns], stride: [rows, columns] };
        return Ok(Fitted::new(Shape::Values(channels), move |_, piece| {
            let examples = piece.dim(0)?;
            let picture = piece.reshape((examples, rows, columns, channels))?;
            window.apply(&picture, kept)?.reshape((examples, channels))
        }));
    };
    let stride = stride.unwrap_or(size);
    let along = side_after(columns, size, stride, 0, if is_series { "steps" } else { "columns" })?;
    let (size, stride) = (size as usize, stride as usize);
    if is_series {
        let windows = Windows { size: [1, size], stride: [1, stride] };
        let output = Shape::Series { steps: along, features: channels };
        return Ok(Fitted::new(output, move |_, piece| {
            windows.apply(&piece.unsqueeze(1)?, kept)?.squeeze(1)
        }));
    }
    let down = side_after(rows, size as u32, stride as u32, 0, "rows")?;
    let windows = Windows { size: [size; 2], stride: [stride; 2] };
    let output = Shape::Picture { height: down, width: along, channels };
    Ok(Fitted::new(output, move |_, piece| windows.apply(&as_picture(piece)?, kept)))
}

/// What is kept of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// The largest value, the first of equals, NaN if one is; all of the gradient is its.
    Largest,
    /// The mean; the gradient is spread evenly.
    Mean,
}

/// Windows in pictures `[batch, height, width, channels]`.
#[derive(Clone, Copy, Debug)]
struct Windows {
    size: [usize; 2],
    stride: [usize; 2],
}

impl Windows {
    fn apply(self, pictures: &Tensor, kept: Kept) -> Result<Tensor> {
        pictures.contiguous()?.apply_op1(Pooling { windows: self, kept, places: OnceLock::new() })
    }

    /// Rows and columns of windows in a picture.
    fn count(self, [height, width]: [usize; 2]) -> Result<[usize; 2]> {
        let along = |side: usize, axis: usize| {
            Some(side.checked_sub(self.size[axis])? / self.stride[axis].max(1) + 1)
        };
        match (along(height, 0), along(width, 1)) {
            (Some(rows), Some(columns)) => Ok([rows, columns]),
            _ => bail!("a window of {:?} does not lie in a picture of {height} x {width}", self.size),
        }
    }

    /// For each window, row by row, the pixels under it, of a picture of this width.
    fn pixels(
        self,
        [rows, columns]: [usize; 2],
        width: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        let Windows { size, stride } = self;
        (0..rows).flat_map(move |row| {
            (0..columns).map(move |column| {
                let first = row * stride[0] * width + column * stride[1];
                (0..size[0]).flat_map(move |down| (0..size[1]).map(move |along| first + down * width + along))
            })
        })
    }
}

struct Pooling {
    windows: Windows,
    kept: Kept,
    /// The pixels whose values are kept, where these are the largest.
    places: OnceLock<Vec<u32>>,
}

impl Pooling {
    fn forward<T: Element>(
        &self,
        input: &CpuStorage,
        layout: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let &[batch, height, width, channels] = layout.dims() else {
            bail!("pictures have four dimensions, not {:?}", layout.dims());
        };
        let count @ [rows, columns] = self.windows.count([height, width])?;
        let share = T::from_f64(1.0 / (self.windows.size[0] * self.windows.size[1]) as f64);
        let mut output = vec![T::zero(); batch * rows * columns * channels];
        let mut places = vec![0_u32; if self.kept == Kept::Largest { output.len() } else { 0 }];
        let example = (rows * columns * channels).max(1);
        let pictures = operand::<T>(input, layout)?.chunks_exact((height * width * channels).max(1));
        for (number, (picture, output)) in pictures.zip(output.chunks_exact_mut(example)).enumerate() {
            let pixels = self.windows.pixels(count, width);
            for (window, (pixels, output)) in pixels.zip(output.chunks_exact_mut(channels)).enumerate() {
                let place = number * example + window * channels;
                for (position, pixel) in pixels.enumerate() {
                    let values = &picture[pixel * channels..][..channels];
                    match self.kept {
                        Kept::Mean => output.iter_mut().zip(values).for_each(|(sum, &value)| *sum += value),
                        Kept::Largest => {
                            let places = &mut places[place..][..channels];
                            for ((largest, place), &value) in output.iter_mut().zip(places).zip(values) {
                                let is_nan = value.partial_cmp(&value).is_none();
                                if position == 0 || value > *largest || is_nan {
                                    (*largest, *place) = (value, pixel as u32);
                                }
                            }
                        }
                    }
                }
                if self.kept == Kept::Mean {
                    output.iter_mut().for_each(|sum| *sum *= share);
                }
            }
        }
        if self.places.set(places).is_err() {
            bail!("an operation is applied once");
        }
        Ok(result(output, (batch, rows, columns, channels)))
    }

    fn backward<T: Element>(&self, input: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let (batch, height, width, channels) = input.dims4()?;
        let count @ [rows, columns] = self.windows.count([height, width])?;
        let share = T::from_f64(1.0 / (self.windows.size[0] * self.windows.size[1]) as f64);
        let Some(places) = self.places.get() else { bail!("there was no forward pass") };
        let mut sums = vec![T::zero(); batch * height * width * channels];
        let example = (rows * columns * channels).max(1);
        with_values::<T, _>(gradient, |gradient| {
            let pictures = sums.chunks_exact_mut((height * width * channels).max(1));
            for (number, (sums, gradient)) in pictures.zip(gradient.chunks_exact(example)).enumerate() {
                if self.kept == Kept::Largest {
                    let places = &places[number * example..][..example];
                    for (index, (&pixel, &gradient)) in places.iter().zip(gradient).enumerate() {
                        sums[pixel as usize * channels + index % channels] += gradient;
                    }
                    continue;
                }
                let pixels = self.windows.pixels(count, width);
                for (pixels, gradient) in pixels.zip(gradient.chunks_exact(channels)) {
                    for pixel in pixels {
                        let sums = sums[pixel * channels..][..channels].iter_mut();
                        sums.zip(gradient).for_each(|(sum, &gradient)| *sum += gradient * share);
                    }
                }
            }
            Ok(())
        })?;
        tensor(sums, input.shape())
    }
}

impl CustomOp1 for Pooling {
    fn name(&self) -> &'static str {
        "pooling"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, candle_core::Shape)> {
        by_type!(input.dtype(), T => self.forward::<T>(input, layout))
    }

    fn bwd(&self, input: &Tensor, _output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        by_type!(input.dtype(), T => self.backward::<T>(input, gradient)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::super::gradient_check::{assert_close, assert_gradient, random_tensor};
    use super::*;

    const WINDOWS: [Windows; 4] = [
        Windows { size: [2, 2], stride: [2, 2] },
        Windows { size: [3, 3], stride: [1, 1] },
        Windows { size: [1, 2], stride: [1, 3] },
        Windows { size: [4, 5], stride: [4, 5] },
    ];

    #[test]
    fn it_has_the_gradient_of_finite_differences() {
        for windows in WINDOWS {
            for kept in [Kept::Largest, Kept::Mean] {
                assert_gradient(&[random_tensor(&[2, 4, 5, 3], 1)], |x| windows.apply(&x[0], kept));
            }
        }
    }

    #[test]
    fn it_computes_what_candle_does() {
        let input = random_tensor(&[2, 5, 7, 3], 1);
        let first = input.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
        for windows in WINDOWS {
            let (size, stride) = ((windows.size[0], windows.size[1]), (windows.stride[0], windows.stride[1]));
            for (kept, expected) in [
                (Kept::Largest, first.max_pool2d_with_stride(size, stride)),
                (Kept::Mean, first.avg_pool2d_with_stride(size, stride)),
            ] {
                let expected = expected.unwrap().permute((0, 2, 3, 1)).unwrap();
                assert_close(&windows.apply(&input, kept).unwrap(), &expected);
            }
        }
    }

    #[test]
    fn nan_stays_nan_wherever_it_is() {
        for place in 0..4 {
            let mut values = [1f32, 2., 3., 4.];
            values[place] = f32::NAN;
            let input = Tensor::from_slice(&values, (1, 2, 2, 1), &Device::Cpu).unwrap();
            for kept in [Kept::Largest, Kept::Mean] {
                let output = WINDOWS[0].apply(&input, kept).unwrap();
                assert!(
                    output.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0].is_nan(),
                    "{place} {kept:?}"
                );
            }
        }
    }
}
