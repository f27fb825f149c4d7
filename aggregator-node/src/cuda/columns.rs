//! Coordinate-wise statistics of an update matrix.

use cudarc::driver::{CudaSlice, CudaViewMut, DriverError};

use super::error::CudaError;
use super::gpu::Gpu;
use super::launch::{self, Weights, allocate};
use super::matrix::Matrix;
use super::program::{Program, Statistic};

/// Weights of the rows, for the mean.
pub(super) struct MeanOf {
    /// One for each row.
    pub(super) weights: Vec<f64>,
    /// Their sum; or one over the sum of all others, for each row.
    pub(super) shares: Vec<f64>,
}

/// A statistic of each column.
pub(super) struct Columns {
    pub(super) statistic: Statistic,
    /// Of the mean, what it is of.
    pub(super) mean: Option<MeanOf>,
    /// For each row without it, or of all rows.
    pub(super) leave_one_out: bool,
}

impl Columns {
    /// The statistic of `matrix`, in the memory of this machine: one vector of d values, or m of them.
    pub(super) fn here(&self, matrix: &Matrix<'_>) -> Result<Vec<Vec<f32>>, CudaError> {
        let (gpu, results) = (matrix.gpu(), self.results(matrix));
        let mut vectors = vec![vec![0.0; matrix.dimension()]; results];
        if matrix.dimension() == 0 {
            return Ok(vectors);
        }
        let kernel = gpu.kernel(self.program(matrix), "aggregate")?;
        let sums = if self.keeps_sums() { results * size_of::<f64>() } else { 0 };
        matrix.in_blocks(results * size_of::<f32>() + sums, |columns| {
            let columns = columns.min(matrix.dimension());
            let mut there: CudaSlice<f32> = allocate(gpu, results * columns)?;
            let mut weights = self.weights(gpu, results * columns)?;
            matrix.for_each_block(columns, |block, range| {
                launch::aggregate(gpu, &kernel, block, &mut there.as_view_mut(), columns, &mut weights)?;
                for (result, vector) in vectors.iter_mut().enumerate() {
                    let values = there.slice(result * columns..result * columns + range.len());
                    gpu.stream.memcpy_dtoh(&values, &mut vector[range.clone()])?;
                }
                Ok(gpu.stream.synchronize()?)
            })
        })?;
        Ok(vectors)
    }

    /// The statistic of `matrix`, into `results` on the GPU: d values, or m times as many.
    pub(super) fn there(
        &self,
        matrix: &Matrix<'_>,
        results: &mut CudaViewMut<'_, f32>,
    ) -> Result<(), CudaError> {
        let (gpu, dimension) = (matrix.gpu(), matrix.dimension());
        if dimension == 0 {
            return Ok(());
        }
        let kernel = gpu.kernel(self.program(matrix), "aggregate")?;
        let mut weights = self.weights(gpu, self.results(matrix) * dimension)?;
        matrix.for_each_block(dimension, |block, _| {
            Ok(launch::aggregate(gpu, &kernel, block, results, dimension, &mut weights)?)
        })
    }

    fn program(&self, matrix: &Matrix<'_>) -> Program {
        Program { statistic: self.statistic, rows: matrix.devices(), leave_one_out: self.leave_one_out }
    }

    /// Number of vectors that come of it.
    pub(super) fn results(&self, matrix: &Matrix<'_>) -> usize {
        if self.leave_one_out { matrix.devices() } else { 1 }
    }

    /// Whether the kernel keeps the sum of the rows before each, in 64 bits.
    fn keeps_sums(&self) -> bool {
        self.mean.is_some() && self.leave_one_out
    }

    /// What the kernel of the mean takes beside the rows, for so many results.
    fn weights(&self, gpu: &Gpu, results: usize) -> Result<Option<Weights>, DriverError> {
        let there = |MeanOf { weights, shares }: &MeanOf| {
            Ok(Weights {
                each: gpu.stream.clone_htod(weights)?,
                shares: gpu.stream.clone_htod(shares)?,
                before: self.keeps_sums().then(|| allocate(gpu, results)).transpose()?,
            })
        };
        self.mean.as_ref().map(there).transpose()
    }
}
