//! Per-coordinate statistics of models, `[1, d]`, in 64 bits, so that a coordinate that does not move does not seem to.
//!
//! Rows are taken one by one and in their order: no copy of all models is made, and sums are the same everywhere.

use candle_core::{DType, Result, Tensor};

/// Mean of each coordinate of some rows, at least one, of `models`, `[m, d]`.
pub(super) fn mean(models: &Tensor, rows: &[u32]) -> Result<Tensor> {
    average(models, rows, Ok)
}

/// Mean and population standard deviation (divided by n, as in the authors' code) of each coordinate.
pub(super) fn mean_and_deviation(models: &Tensor, rows: &[u32]) -> Result<(Tensor, Tensor)> {
    let mean = mean(models, rows)?;
    let squares = average(models, rows, |row| (row - &mean)?.sqr())?;
    Ok((mean, squares.sqrt()?))
}

/// The mean of what `of` makes of each row.
fn average(models: &Tensor, rows: &[u32], of: impl Fn(Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let mut sum = Tensor::zeros((1, models.dim(1)?), DType::F64, models.device())?;
    for row in rows {
        sum = (sum + of(models.narrow(0, *row as usize, 1)?.to_dtype(DType::F64)?)?)?;
    }
    // A division by a number is a product with one over it, which leaves equal values next to themselves.
    sum.broadcast_div(&Tensor::new(&[[rows.len() as f64]], models.device())?)
}

/// The smallest and the largest value of each coordinate, `[1, d]`, of some rows, at least one.
pub(super) fn extremes(models: &Tensor, rows: &[u32]) -> Result<(Tensor, Tensor)> {
    let row = |row: u32| models.narrow(0, row as usize, 1);
    let (mut least, mut greatest) = (row(rows[0])?, row(rows[0])?);
    for other in &rows[1..] {
        least = least.minimum(&row(*other)?)?;
        greatest = greatest.maximum(&row(*other)?)?;
    }
    Ok((least, greatest))
}

/// The nearest finite 32 bits: a crafted value beyond the range would only be refused as non-finite.
pub(super) fn finite(values: &Tensor) -> Result<Tensor> {
    values.clamp(f64::from(f32::MIN), f64::from(f32::MAX))?.to_dtype(DType::F32)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn first(values: &Tensor) -> f64 {
        values.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()[0]
    }

    #[test]
    fn the_deviation_is_that_of_the_population() {
        let models = Tensor::new(&[[1.0_f32], [3.0], [9.0], [1.0], [3.0]], &Device::Cpu).unwrap();
        let (mean, deviation) = mean_and_deviation(&models, &[0, 1, 3, 4]).unwrap();
        assert_eq!((first(&mean), first(&deviation)), (2.0, 1.0));
        let (least, greatest) = extremes(&models, &[1, 2]).unwrap();
        assert_eq!((first(&least), first(&greatest)), (3.0, 9.0));
    }

    #[test]
    fn values_beyond_the_range_become_its_end() {
        let finite = |value: f64| first(&finite(&Tensor::new(&[value], &Device::Cpu).unwrap()).unwrap());
        assert_eq!((finite(1e300), finite(-1e300)), (f64::from(f32::MAX), f64::from(f32::MIN)));
    }
}
