//! The mean of each column, with the sign turned where too few updates agree.

use rayon::prelude::*;

use crate::Updates;
use simd::{Kernel, vectorized};

/// Columns that are worked on at a time.
const COLUMNS: usize = 1024;

/// The origin plus the mean update of each column where at least `threshold` more updates go up than down, or down than up;
/// elsewhere the origin minus it. Sums are taken in `f64` and in the order of the rows.
pub(crate) fn mean_by_majority(updates: &Updates<'_>, threshold: usize) -> Vec<f32> {
    let mut results = vec![0.0; updates.dimension()];
    results.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, results)| {
        vectorized(MeanByMajority { updates, threshold: threshold as f32, start: block * COLUMNS, results });
    });
    results
}

struct MeanByMajority<'a> {
    updates: &'a Updates<'a>,
    threshold: f32,
    start: usize,
    results: &'a mut [f32],
}

impl Kernel for MeanByMajority<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (count, zeros) = (self.results.len(), [0.0; COLUMNS]);
        let origin = self.updates.origin().map_or(&zeros[..count], |origin| &origin[self.start..][..count]);
        let (mut sums, mut majorities) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        for row in self.updates.rows() {
            add(&mut sums, &mut majorities, &row[self.start..][..count], origin);
        }
        let devices = self.updates.len() as f64;
        let sums = sums.iter().zip(&majorities).zip(origin);
        for (result, ((sum, majority), origin)) in self.results.iter_mut().zip(sums) {
            let mean = sum / devices;
            let step = if majority.abs() >= self.threshold { mean } else { -mean };
            *result = (f64::from(*origin) + step) as f32;
        }
    }
}

#[inline(always)]
fn add(sums: &mut [f64; COLUMNS], majorities: &mut [f32; COLUMNS], values: &[f32], origin: &[f32]) {
    for ((sum, majority), (value, origin)) in sums.iter_mut().zip(majorities).zip(values.iter().zip(origin)) {
        *sum += f64::from(*value) - f64::from(*origin);
        *majority += f32::from(i8::from(value > origin) - i8::from(value < origin));
    }
}
