//! The update matrix on a GPU: rows that are there or were moved there as they came in, and blocks of columns of the others.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaSlice, CudaView};
use robust::Updates;

use super::error::CudaError;
use super::gpu::Gpu;
use super::launch::{Block, RowPointers, address, allocate};

/// Blocks are of whole multiples of so many columns: no sum of a kernel, and no panel, lies in two.
const ALIGN: usize = 4096;

/// The part of free memory that is used: the rest is for what the driver itself takes.
const USED: f64 = 0.9;

/// Updates of a round that are on the GPU as a whole.
#[derive(Default)]
pub(super) struct Resident {
    /// The round they are of.
    round: u32,
    /// The last round whose updates were let go.
    released: u32,
    /// By the address of the update. It is held, so that nothing else can have its address.
    rows: HashMap<usize, (Arc<[f32]>, CudaSlice<f32>)>,
    /// What they take.
    bytes: usize,
}

impl Resident {
    /// Moves an update of `round` to the GPU, unless the round's would then take more than half of the memory that is free
    /// without them: the rest is for results, and for rows that have no room.
    pub(super) fn take(&mut self, gpu: &Gpu, round: u32, update: &Arc<[f32]>) -> Result<(), CudaError> {
        if round <= self.released || round < self.round {
            return Ok(());
        }
        if round > self.round {
            self.clear();
            self.round = round;
        }
        let bytes = self.bytes + size_of_val::<[f32]>(update);
        if bytes <= usize::midpoint(self.bytes, gpu.free_memory()?) {
            let row = gpu.stream.clone_htod::<f32, [f32]>(update)?;
            self.rows.insert(key(update), (update.clone(), row));
            self.bytes = bytes;
        }
        Ok(())
    }

    pub(super) fn release(&mut self, round: u32) {
        self.released = self.released.max(round);
        if self.round <= round {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }

    fn address(&self, gpu: &Gpu, row: &[f32]) -> Option<CUdeviceptr> {
        let (update, there) = self.rows.get(&key(row))?;
        (update.len() == row.len()).then(|| address(gpu, there))
    }
}

fn key(row: &[f32]) -> usize {
    row.as_ptr().addr()
}

/// A row of an update matrix.
enum Row<'a> {
    /// In the memory of this machine; also on the GPU, at an address, if it was moved there.
    Here(&'a [f32], Option<CUdeviceptr>),
    /// On the GPU.
    There(CudaView<'a, f32>),
}

impl Row<'_> {
    fn again(&self) -> Self {
        match self {
            Row::Here(values, copy) => Row::Here(values, *copy),
            Row::There(values) => Row::There(values.slice(..)),
        }
    }
}

/// An update matrix as kernels see it, block of columns by block of columns.
pub(super) struct Matrix<'a> {
    gpu: &'a Gpu,
    /// At least one, all of as many columns.
    rows: Vec<Row<'a>>,
    dimension: usize,
}

impl<'a> Matrix<'a> {
    /// The matrix of `updates`, of which some may be `resident`.
    pub(super) fn new(gpu: &'a Gpu, resident: &Resident, updates: &Updates<'a>) -> Self {
        let row = |row: &&'a [f32]| Row::Here(row, resident.address(gpu, row));
        Matrix { gpu, rows: updates.rows().iter().map(row).collect(), dimension: updates.dimension() }
    }

    /// The matrix of `devices` rows that lie one after the other in `values`, on the GPU. There is at least one.
    pub(super) fn there(gpu: &'a Gpu, values: &CudaView<'a, f32>, devices: usize) -> Self {
        let dimension = values.len() / devices;
        let row = |row: usize| Row::There(values.slice(row * dimension..(row + 1) * dimension));
        Matrix { gpu, rows: (0..devices).map(row).collect(), dimension }
    }

    /// Some of the rows, at least one.
    pub(super) fn select(&self, rows: &[usize]) -> Self {
        let rows = rows.iter().map(|row| self.rows[*row].again()).collect();
        Matrix { gpu: self.gpu, rows, dimension: self.dimension }
    }

    pub(super) fn gpu(&self) -> &'a Gpu {
        self.gpu
    }

    pub(super) fn devices(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The first `count` values of a row, in the memory of this machine.
    pub(super) fn values(&self, row: usize, count: usize) -> Result<Cow<'a, [f32]>, CudaError> {
        match &self.rows[row] {
            Row::Here(values, _) => Ok(Cow::Borrowed(&values[..count])),
            Row::There(values) => {
                let values = self.gpu.stream.clone_dtoh(&values.slice(..count))?;
                self.gpu.stream.synchronize()?;
                Ok(Cow::Owned(values))
            }
        }
    }

    /// Calls `compute` with a number of columns that fit into memory at a time, where each column takes `bytes` beside
    /// the rows themselves, and again with half as many while memory does not suffice: all that is computed is then
    /// computed anew.
    pub(super) fn in_blocks<T>(
        &self,
        bytes: usize,
        mut compute: impl FnMut(usize) -> Result<T, CudaError>,
    ) -> Result<T, CudaError> {
        let per_column = bytes + self.copied() * size_of::<f32>();
        let room = (self.gpu.free_memory()? as f64 * USED) as usize / per_column.max(1);
        let mut columns =
            (room / ALIGN * ALIGN).clamp(ALIGN, self.dimension().next_multiple_of(ALIGN).max(ALIGN));
        loop {
            match compute(columns) {
                Err(error) if error.is_out_of_memory() && columns > ALIGN => {
                    columns = (columns / 2).next_multiple_of(ALIGN);
                }
                result => return result,
            }
        }
    }

    /// Rows that have to be copied.
    fn copied(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row, Row::Here(_, None))).count()
    }

    /// Calls `compute` with each block of `columns` columns, and which they are.
    pub(super) fn for_each_block(
        &self,
        columns: usize,
        mut compute: impl FnMut(&Block, Range<usize>) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let mut copies = Vec::new();
        for _ in 0..self.copied() {
            copies.push(allocate::<f32>(self.gpu, columns.min(self.dimension()))?);
        }
        for start in (0..self.dimension()).step_by(columns) {
            let range = start..(start + columns).min(self.dimension());
            let mut free = copies.iter_mut();
            let mut pointers = Vec::with_capacity(self.devices());
            let from_start = |address| address + (start * size_of::<f32>()) as CUdeviceptr;
            for row in &self.rows {
                match row {
                    Row::Here(_, Some(copy)) => pointers.push(from_start(*copy)),
                    Row::There(values) => pointers.push(from_start(address(self.gpu, values))),
                    Row::Here(values, None) => {
                        if let Some(copy) = free.next() {
                            self.gpu.stream.memcpy_htod(&values[range.clone()], copy)?;
                            pointers.push(address(self.gpu, copy));
                        }
                    }
                }
            }
            let rows = RowPointers::new(self.gpu, &pointers)?;
            compute(&Block { rows, devices: self.devices(), columns: range.len() }, range)?;
        }
        Ok(())
    }
}
