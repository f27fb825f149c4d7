//! Bulyan's second stage: per coordinate the mean of the values nearest their median.

use pulp::{Arch, Simd, WithSimd};

use super::ahead::Ahead;
use super::columns::{Statistic, Strips, map_columns_to_one};
use super::sorting::SortingNetwork;
use super::{RuleError, Updates};
use crate::simd::{LANES, Lanes, one_at_a_time};

/// Per coordinate the mean of the `count` values of the selected rows nearest their median; of two equally far, the
/// lower counts.
pub(super) fn mean_near_median(
    updates: &Updates<'_>,
    selection: &[usize],
    count: usize,
) -> Result<Vec<f32>, RuleError> {
    let rows: Vec<&[f32]> = selection.iter().map(|row| updates.rows()[*row]).collect();
    let network = SortingNetwork::new(rows.len(), |_| true);
    Ok(map_columns_to_one(&Updates::new(&rows, None)?, &MeanNearMedian { network, count }))
}

struct MeanNearMedian {
    network: SortingNetwork,
    count: usize,
}

impl Statistic for MeanNearMedian {
    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        ahead: Ahead<'_>,
    ) {
        self.network.sort(columns, ahead);
        let mut ascending = vec![Wide([0.0; LANES]); columns.len()];
        for strip in 0..S {
            for (wide, row) in ascending.iter_mut().zip(&*columns) {
                wide.widen(&row[strip]);
            }
            let mut sums = Wide([0.0; LANES]);
            let sum = SumNearMedian { ascending: &ascending, count: self.count, sums: &mut sums };
            Arch::new().dispatch(sum);
            for (result, sum) in results[0][strip].iter_mut().zip(sums.0) {
                *result = (sum / self.count as f64) as f32;
            }
        }
    }
}

/// Values that lie side by side, in two cache lines.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Wide([f64; LANES]);

impl Wide {
    #[inline(always)]
    fn widen(&mut self, values: &Lanes) {
        let values = one_at_a_time(values);
        for lane in 0..LANES {
            self.0[lane] = f64::from(values[lane]);
        }
    }
}

/// The sums of the `count` values nearest the median of each column, in ascending order.
///
/// Written with the machine's own vectors: of comparisons lane by lane the compiler makes branches.
struct SumNearMedian<'a> {
    ascending: &'a [Wide],
    count: usize,
    sums: &'a mut Wide,
}

impl WithSimd for SumNearMedian<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let sums = S::as_mut_simd_f64s(&mut self.sums.0).0;
        for (part, sum) in sums.iter_mut().enumerate() {
            *sum = sum_near_median(simd, self.ascending, self.count, part);
        }
    }
}

/// The sums of one vector of columns.
#[inline(always)]
fn sum_near_median<S: Simd>(simd: S, ascending: &[Wide], count: usize, part: usize) -> S::f64s {
    let part_of = |row: &Wide| S::as_simd_f64s(&row.0).0[part];
    let [zero, one] = [simd.splat_f64s(0.0), simd.splat_f64s(1.0)];

    let [lower, upper] =
        [(ascending.len() - 1) / 2, ascending.len() / 2].map(|place| part_of(&ascending[place]));
    let median = simd.mul_f64s(simd.add_f64s(lower, upper), simd.splat_f64s(0.5));

    // What is nearest lies side by side, from a first place on. While what would be left behind is farther than what would
    // come in, it is a place on; the former falls from place to place and the latter rises.
    let mut first = zero;
    for (behind, ahead) in ascending.iter().zip(&ascending[count..]) {
        let behind = simd.sub_f64s(median, part_of(behind));
        let ahead = simd.sub_f64s(part_of(ahead), median);
        let farther = simd.greater_than_f64s(behind, ahead);
        first = simd.add_f64s(first, simd.select_f64s(farther, one, zero));
    }

    let end = simd.add_f64s(first, simd.splat_f64s(count as f64));
    let (from, to) = (simd.reduce_min_f64s(first) as usize, simd.reduce_max_f64s(end) as usize);
    let (mut place, mut sum) = (simd.splat_f64s(from as f64), zero);
    for row in &ascending[from..to] {
        let near =
            simd.and_m64s(simd.greater_than_or_equal_f64s(place, first), simd.less_than_f64s(place, end));
        sum = simd.add_f64s(sum, simd.select_f64s(near, part_of(row), zero));
        place = simd.add_f64s(place, one);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::properties::column;
    use super::*;

    fn near(values: &[f32], count: usize) -> f32 {
        let rows = column(values);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let all: Vec<usize> = (0..rows.len()).collect();
        mean_near_median(&Updates::new(&rows, None).unwrap(), &all, count).unwrap()[0]
    }

    #[test]
    fn the_values_nearest_the_median_are_averaged_and_the_lower_of_two_equally_far() {
        assert_eq!(near(&[9.0, 0.0, 4.0, 5.0, 1.0], 3), 10.0 / 3.0); // 4 | 5 | 1
        assert_eq!(near(&[3.0, 1.0, 2.0], 2), 1.5); // 2 | 1, not 3
        assert_eq!(near(&[0.0, 10.0, 2.0, 4.0], 2), 3.0); // median 3
        assert_eq!(near(&[f32::MAX, f32::MAX], 2), f32::MAX);
    }
}
