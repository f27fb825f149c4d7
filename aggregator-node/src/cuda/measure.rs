//! How long kernels take by themselves, without the way of the updates to the GPU and of the results back.

use cudarc::cublas::CudaBlas;
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaSlice, DriverError};
use robust::RuleError;

use super::Cuda;
use super::distances::ProductRoom;
use super::error::CudaError;
use super::gpu::Gpu;
use super::launch::{self, Block, RowPointers, address, allocate, zeros};
use super::program::{Program, Statistic};

/// Values by which the rows of the matrix lie apart in the random numbers that all are taken from.
const SHIFT: usize = 997;

/// Measurements, of which the shortest counts.
const TIMES: usize = 7;

/// An update matrix on a GPU, to measure kernels with.
pub struct Measurement {
    gpu: std::sync::Arc<Gpu>,
    block: Block,
    /// What the rows of the block are.
    matrix: CudaSlice<f32>,
}

impl Cuda {
    /// A matrix of `devices` rows of `columns` values each, taken from `values`, of which there are at least
    /// `columns + 997 * devices`, to measure kernels with.
    ///
    /// # Errors
    /// [`RuleError::Backend`] if the GPU has no room for it, or fails.
    pub fn measurement(
        &self,
        values: &[f32],
        devices: usize,
        columns: usize,
    ) -> Result<Measurement, RuleError> {
        let make = || -> Result<Measurement, CudaError> {
            self.gpu.enter()?;
            let gpu = self.gpu.clone();
            let mut matrix = allocate::<f32>(&gpu, devices * columns)?;
            for device in 0..devices {
                let mut row = matrix.slice_mut(device * columns..(device + 1) * columns);
                gpu.stream.memcpy_htod(&values[device * SHIFT..][..columns], &mut row)?;
            }
            let start = address(&gpu, &matrix);
            let pointers: Vec<u64> =
                (0..devices).map(|device| start + (device * columns * size_of::<f32>()) as u64).collect();
            let block = Block { rows: RowPointers::new(&gpu, &pointers)?, devices, columns };
            gpu.stream.synchronize()?;
            Ok(Measurement { gpu, block, matrix })
        };
        Ok(make()?)
    }
}

impl Measurement {
    /// Bytes per second that the GPU reads and writes when it copies memory.
    ///
    /// # Errors
    /// [`RuleError::Backend`] if the GPU fails.
    pub fn copy_rate(&self) -> Result<f64, RuleError> {
        let values = self.matrix.len() / 4;
        let mut copy = allocate::<f32>(&self.gpu, values).map_err(CudaError::from)?;
        let seconds = self.shortest(|gpu| gpu.stream.memcpy_dtod(&self.matrix.slice(..values), &mut copy))?;
        Ok((2 * values * size_of::<f32>()) as f64 / seconds)
    }

    /// Seconds that a coordinate-wise statistic of the matrix takes.
    ///
    /// # Errors
    /// As [`Measurement::copy_rate`].
    pub fn statistic(&self, statistic: Statistic) -> Result<f64, RuleError> {
        let program = Program { statistic, rows: self.block.devices, leave_one_out: false };
        let kernel = self.gpu.kernel(program, "aggregate")?;
        let columns = self.block.columns;
        let mut results = allocate::<f32>(&self.gpu, columns).map_err(CudaError::from)?;
        Ok(self.shortest(|gpu| {
            launch::aggregate(gpu, &kernel, &self.block, &mut results.as_view_mut(), columns, &mut None)
        })?)
    }

    /// Seconds that the products of all pairs of rows take.
    ///
    /// # Errors
    /// As [`Measurement::copy_rate`].
    pub fn products(&self) -> Result<f64, RuleError> {
        let devices = self.block.devices;
        let program = Program { statistic: Statistic::Distances, rows: devices, leave_one_out: false };
        let (multiply, add) =
            (self.gpu.kernel(program, "multiply")?, self.gpu.kernel(program, "add_panels")?);
        let room = ProductRoom::new(&self.gpu, devices, self.block.columns);
        let mut room = room.map_err(CudaError::from)?;
        let mut sums = zeros::<f64>(&self.gpu, devices * devices).map_err(CudaError::from)?;
        Ok(self.shortest(|gpu| room.add_products(gpu, [&multiply, &add], &self.block, 0, &mut sums))?)
    }

    /// Operations per second of cuBLAS's product of two square matrices of `size` rows in full `f32`, two for each product
    /// that is summed up; `None` if cuBLAS is not installed.
    ///
    /// # Errors
    /// As [`Measurement::copy_rate`].
    pub fn product_rate(&self, size: usize) -> Result<Option<f64>, RuleError> {
        if !launch::has_cublas() {
            return Ok(None);
        }
        let broken = |error| RuleError::Backend(format!("cuBLAS fails: {error:?}"));
        let blas = CudaBlas::new(self.gpu.stream.clone()).map_err(broken)?;
        let factor = zeros::<f32>(&self.gpu, size * size).map_err(CudaError::from)?;
        let mut product = allocate::<f32>(&self.gpu, size * size).map_err(CudaError::from)?;
        let mut failed = None;
        let seconds = self.shortest(|_| {
            failed = launch::square(&blas, size, &factor, &mut product).err();
            Ok(())
        })?;
        let operations = 2.0 * (size as f64).powi(3);
        failed.map_or(Ok(Some(operations / seconds)), |error| Err(broken(error)))
    }

    /// The shortest time of several, in seconds.
    fn shortest(&self, mut work: impl FnMut(&Gpu) -> Result<(), DriverError>) -> Result<f64, CudaError> {
        let mut shortest = f64::INFINITY;
        for _ in 0..TIMES {
            let start = self.gpu.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))?;
            work(&self.gpu)?;
            let end = self.gpu.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))?;
            shortest = shortest.min(f64::from(start.elapsed_ms(&end)?) / 1e3);
        }
        Ok(shortest)
    }
}
