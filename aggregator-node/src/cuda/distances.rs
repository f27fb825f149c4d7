//! Distances of all pairs of updates.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cudarc::driver::{CudaSlice, DriverError};
use rayon::prelude::*;
use robust::{Distances, PIVOT_VALUES, distance_of_square, euclidean, pivot_row};

use super::error::CudaError;
use super::gpu::{Gpu, Kernel};
use super::launch::{self, Block, LANES, PANEL, allocate, zeros};
use super::matrix::Matrix;
use super::program::{Program, Statistic};

/// Bytes for the products of panels, which are added up after so many of them.
const PRODUCT_BYTES: usize = 128 << 20;

/// The most panels at a time: CUDA counts blocks in this direction in 16 bits.
const MOST_PANELS: usize = 65_535;

/// Pairs whose differences are summed up at a time.
const PAIRS: usize = 1 << 18;

/// The distances of the rows of `matrix`: the very bits of [`Distances::of`].
pub(super) fn distances(matrix: &Matrix<'_>) -> Result<Distances, CudaError> {
    let (devices, dimension) = (matrix.devices(), matrix.dimension());
    let program = Program { statistic: Statistic::Distances, rows: devices, leave_one_out: false };
    let kernel = |name| matrix.gpu().kernel(program, name);
    let beginnings = (0..devices).map(|row| matrix.values(row, dimension.min(PIVOT_VALUES)));
    let origin = pivot_row(&beginnings.collect::<Result<Vec<_>, _>>()?);
    let products = products(matrix, &kernel("multiply")?, &kernel("add_panels")?, origin)?;
    let add_squares = kernel("add_squares")?;
    Distances::from_products(devices, products, |pairs| {
        let mut distances = Vec::with_capacity(pairs.len());
        for pairs in pairs.chunks(PAIRS) {
            let squares = squares(matrix, &add_squares, pairs)?;
            // Those whose squares left the range of f32 are taken from the rows themselves, here.
            let all = || pairs.iter().zip(&squares);
            let beyond = all().filter(|(_, square)| distance_of_square(**square).is_none());
            let rows: BTreeSet<usize> = beyond.flat_map(|(&(i, j), _)| [i, j]).collect();
            let values = rows.into_iter().map(|row| Ok((row, matrix.values(row, dimension)?)));
            let values: BTreeMap<usize, Cow<'_, [f32]>> = values.collect::<Result<_, CudaError>>()?;
            let distance = |(&(i, j), &square): (&(usize, usize), &f64)| {
                distance_of_square(square).unwrap_or_else(|| euclidean(&values[&i], &values[&j]))
            };
            distances.par_extend(pairs.par_iter().zip(&squares).map(distance));
        }
        Ok(distances)
    })
}

/// The products of all pairs of rows, taken from row `origin`.
fn products(
    matrix: &Matrix<'_>,
    multiply: &Kernel,
    add_panels: &Kernel,
    origin: usize,
) -> Result<Vec<f64>, CudaError> {
    let (gpu, devices) = (matrix.gpu(), matrix.devices());
    matrix.in_blocks(0, |columns| {
        let mut room = ProductRoom::new(gpu, devices, columns.min(matrix.dimension()))?;
        let mut sums = zeros::<f64>(gpu, devices * devices)?;
        matrix.for_each_block(columns, |block, _| {
            room.add_products(gpu, [multiply, add_panels], block, origin, &mut sums)?;
            Ok(gpu.stream.synchronize()?)
        })?;
        let sums = gpu.stream.clone_dtoh(&sums)?;
        gpu.stream.synchronize()?;
        Ok(sums)
    })
}

/// Room for the products of some panels at a time.
pub(super) struct ProductRoom {
    panels: usize,
    products: CudaSlice<f64>,
}

impl ProductRoom {
    /// Room for rows of `columns` values of so many devices.
    pub(super) fn new(gpu: &Gpu, devices: usize, columns: usize) -> Result<Self, DriverError> {
        let pairs = devices * devices;
        let most = (PRODUCT_BYTES / (pairs * size_of::<f64>())).min(MOST_PANELS);
        let panels = most.min(columns.div_ceil(PANEL)).max(1);
        Ok(ProductRoom { panels, products: allocate(gpu, panels * pairs)? })
    }

    /// Adds the products of all pairs of rows of a block, taken from row `origin`, to `sums`.
    pub(super) fn add_products(
        &mut self,
        gpu: &Gpu,
        [multiply, add_panels]: [&Kernel; 2],
        block: &Block,
        origin: usize,
        sums: &mut CudaSlice<f64>,
    ) -> Result<(), DriverError> {
        let all = block.columns.div_ceil(PANEL);
        for first in (0..all).step_by(self.panels) {
            let some = first..(first + self.panels).min(all);
            let count = some.len();
            launch::multiply(gpu, multiply, block, some, origin, &mut self.products)?;
            launch::add_panels(gpu, add_panels, block.devices, &self.products, count, sums)?;
        }
        Ok(())
    }
}

/// The squared distance of each of `pairs`, summed up as [`distance_of_square`] wants it.
fn squares(
    matrix: &Matrix<'_>,
    add_squares: &Kernel,
    pairs: &[(usize, usize)],
) -> Result<Vec<f64>, CudaError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let gpu = matrix.gpu();
    let numbers: Vec<u32> = pairs.iter().flat_map(|&(i, j)| [i as u32, j as u32]).collect();
    let sums = matrix.in_blocks(0, |columns| {
        let numbers = gpu.stream.clone_htod(&numbers)?;
        let mut sums = zeros::<f64>(gpu, pairs.len() * LANES)?;
        matrix.for_each_block(columns, |block, _| {
            launch::add_squares(gpu, add_squares, block, &numbers, &mut sums)?;
            Ok(gpu.stream.synchronize()?)
        })?;
        let sums = gpu.stream.clone_dtoh(&sums)?;
        gpu.stream.synchronize()?;
        Ok(sums)
    })?;
    Ok(sums.as_chunks::<LANES>().0.iter().map(|lanes| lanes.iter().sum()).collect())
}
