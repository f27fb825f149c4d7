//! Coordinate-wise statistics of an update matrix.

use cudarc::driver::CudaSlice;

use super::error::CudaError;
use super::launch::{self, Weights, allocate};
use super::matrix::Matrix;
use super::program::{Program, Statistic};

/// Weights of the rows, for the mean.
pub(super) struct MeanOf<'a> {
    /// One for each row.
    pub(super) weights: &'a [f64],
    /// Their sum; or one over the sum of all others, for each row.
    pub(super) shares: &'a [f64],
}

/// `statistic` of each column: d values.
pub(super) fn aggregate(
    matrix: &Matrix<'_>,
    statistic: Statistic,
    mean: Option<&MeanOf<'_>>,
) -> Result<Vec<f32>, CudaError> {
    Ok(map(matrix, statistic, false, mean)?.pop().unwrap_or_default())
}

/// For each row `statistic` of each column without it: m vectors of d values.
pub(super) fn without_each(
    matrix: &Matrix<'_>,
    statistic: Statistic,
    mean: Option<&MeanOf<'_>>,
) -> Result<Vec<Vec<f32>>, CudaError> {
    map(matrix, statistic, true, mean)
}

fn map(
    matrix: &Matrix<'_>,
    statistic: Statistic,
    without_each: bool,
    mean: Option<&MeanOf<'_>>,
) -> Result<Vec<Vec<f32>>, CudaError> {
    let (gpu, rows) = (matrix.gpu(), matrix.devices());
    let results = if without_each { rows } else { 1 };
    let mut vectors = vec![vec![0.0; matrix.dimension()]; results];
    if matrix.dimension() == 0 {
        return Ok(vectors);
    }
    let kernel = gpu.kernel(Program { statistic, rows, without_each }, "aggregate")?;
    // Sums of the rows before, in 64 bits.
    let sums = if mean.is_some() && without_each { results } else { 0 };
    let bytes = results * size_of::<f32>() + sums * size_of::<f64>();
    matrix.in_blocks(bytes, |columns| {
        let columns = columns.min(matrix.dimension());
        let mut there: CudaSlice<f32> = allocate(gpu, results * columns)?;
        let mut weights = match mean {
            None => None,
            Some(MeanOf { weights, shares }) => Some(Weights {
                each: gpu.stream.clone_htod(*weights)?,
                shares: gpu.stream.clone_htod(*shares)?,
                before: if sums > 0 { Some(allocate(gpu, sums * columns)?) } else { None },
            }),
        };
        matrix.for_each_block(columns, |block, range| {
            launch::aggregate(gpu, &kernel, block, &mut there, columns, &mut weights)?;
            for (result, vector) in vectors.iter_mut().enumerate() {
                let values = there.slice(result * columns..result * columns + range.len());
                gpu.stream.memcpy_dtoh(&values, &mut vector[range.clone()])?;
            }
            Ok(gpu.stream.synchronize()?)
        })
    })?;
    Ok(vectors)
}
