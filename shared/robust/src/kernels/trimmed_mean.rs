//! The mean of each column without its extremes.

use std::ops::Range;

use super::columns::{LANES, Lanes, Statistic, Strips, WIDE_UP_TO, map_columns, map_columns_to_one, mean};
use super::prefetch::Prefetch;
use super::ranks::at_places;
use super::sorting::SortingNetwork;
use crate::Updates;

/// The mean of each column without the `trim` smallest and the `trim` largest values, which are not all: d values. Sums are
/// taken in `f64` and in ascending order, or of so many rows that they are not sorted, on a common grid: so the order of the
/// rows does not matter.
pub(crate) fn of(updates: &Updates<'_>, trim: usize) -> Vec<f32> {
    if !adds_up_in_order(updates.len()) {
        return map_columns_to_one(updates, &MeanOfMany { trim });
    }
    map_columns_to_one(updates, &MeanOfKept(Kept::new(trim, updates.len())))
}

/// The same without each row; at least one value is left of them. One sort per column: without a value, those that are kept
/// are the same but for one.
pub(crate) fn leave_one_out(updates: &Updates<'_>, trim: usize, means: &mut Vec<Vec<f32>>) {
    map_columns(updates, &LeaveOneOutMeans(Kept::new(trim, updates.len())), means);
}

/// Whether the values of so many rows are added up in ascending order, and not on a common grid.
pub fn adds_up_in_order(rows: usize) -> bool {
    rows <= WIDE_UP_TO
}

/// The values at some places of the sorted column.
struct Kept {
    network: SortingNetwork,
    places: Range<usize>,
}

impl Kept {
    /// What is kept of so many values.
    fn new(trim: usize, devices: usize) -> Self {
        let places = trim..devices - trim;
        Kept { network: SortingNetwork::new(devices, |place| places.contains(&place)), places }
    }

    #[inline(always)]
    fn of<'a, const S: usize>(
        &self,
        columns: &'a mut [Strips<S>],
        prefetch: Prefetch<'_>,
    ) -> &'a [Strips<S>] {
        self.network.sort(columns, prefetch);
        &columns[self.places.clone()]
    }
}

struct MeanOfKept(Kept);

impl Statistic for MeanOfKept {
    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        prefetch: Prefetch<'_>,
    ) {
        let kept = self.0.of(columns, prefetch);
        for (strip, result) in results[0].iter_mut().enumerate() {
            *result = mean(kept, strip);
        }
    }
}

/// The mean of what is kept, of so many that they are not sorted.
struct MeanOfMany {
    trim: usize,
}

impl Statistic for MeanOfMany {
    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        mut prefetch: Prefetch<'_>,
    ) {
        let devices = columns.len();
        let kept = (devices - 2 * self.trim) as f64;
        for (strip, result) in results[0].iter_mut().enumerate() {
            let places = [self.trim, devices - 1 - self.trim];
            let [least, greatest] = at_places(columns, strip, places, &mut prefetch);
            let grid = Grid::of(&least, &greatest, devices);
            let (mut sums, mut inside, mut up_to_least) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            for row in &*columns {
                let row = row[strip];
                for lane in 0..LANES {
                    let (value, least, greatest) =
                        (f64::from(row[lane]), f64::from(least[lane]), f64::from(greatest[lane]));
                    let is_inside = value > least && value < greatest;
                    sums[lane] += if is_inside { grid.rounded(lane, value) } else { 0.0 };
                    inside[lane] += if is_inside { 1.0 } else { 0.0 };
                    up_to_least[lane] += if value <= least { 1.0 } else { 0.0 };
                }
            }
            for lane in 0..LANES {
                let (least, greatest) = (f64::from(least[lane]), f64::from(greatest[lane]));
                // Of those that equal the least or the greatest that is kept, only some may be.
                let as_least = up_to_least[lane] - self.trim as f64;
                let as_greatest = kept - inside[lane] - as_least;
                let sum = sums[lane]
                    + as_least * grid.rounded(lane, least)
                    + as_greatest * grid.rounded(lane, greatest);
                let mean = if least == greatest { least + 0.0 } else { sum / kept };
                result[lane] = mean as f32;
            }
        }
    }
}

/// Multiples of a power of two in each lane, so fine that what it rounds away is as little as in a sum in `f64`, and so
/// coarse that sums of so many values are exact: in whatever order.
struct Grid([f64; LANES]);

impl Grid {
    /// For `count` values between two.
    #[inline(always)]
    fn of(least: &Lanes, greatest: &Lanes, count: usize) -> Self {
        let room = 4.0 * count.next_power_of_two() as f64;
        let mut ones = [0.0; LANES];
        for lane in 0..LANES {
            let largest = f64::from(least[lane]).abs().max(f64::from(greatest[lane]).abs());
            // Without its digits, it is a power of two.
            ones[lane] = f64::from_bits(largest.to_bits() & f64::INFINITY.to_bits()) * room;
        }
        Grid(ones)
    }

    /// Beside a number so much larger, there is no place for more digits.
    #[inline(always)]
    fn rounded(&self, lane: usize, value: f64) -> f64 {
        (value + self.0[lane]) - self.0[lane]
    }
}

/// For each value the trimmed mean of the others; of all, at least two are kept.
struct LeaveOneOutMeans(Kept);

impl Statistic for LeaveOneOutMeans {
    fn results(&self) -> usize {
        // As many as there are devices: what is kept ends as far from the last as it starts from the first.
        self.0.places.start + self.0.places.end
    }

    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        prefetch: Prefetch<'_>,
    ) {
        results.copy_from_slice(columns);
        let kept = self.0.of(columns, prefetch);
        let last = kept.len() - 1;
        for strip in 0..S {
            // Without a smaller value the first of them is trimmed too, without a greater one the last, and without one of
            // themselves it.
            let (without_smaller, without_greater) = (mean(&kept[1..], strip), mean(&kept[..last], strip));
            let all = Sum::of(kept, strip);
            for result in &mut *results {
                let value = result[strip];
                for lane in 0..LANES {
                    result[strip][lane] = if value[lane] < kept[0][strip][lane] {
                        without_smaller[lane]
                    } else if value[lane] > kept[last][strip][lane] {
                        without_greater[lane]
                    } else {
                        (all.without(lane, value[lane]) / last as f64) as f32
                    };
                }
            }
        }
    }
}

/// The sum of a column in each lane, to twice the precision of `f64`: what is left of it without the largest value is
/// not lost beside that value, unless they are 2^80 apart.
struct Sum {
    high: [f64; LANES],
    low: [f64; LANES],
}

impl Sum {
    #[inline(always)]
    fn of<const S: usize>(rows: &[Strips<S>], strip: usize) -> Self {
        let (mut high, mut low) = ([0.0; LANES], [0.0; LANES]);
        for row in rows {
            for lane in 0..LANES {
                let (sum, error) = two_sum(high[lane], f64::from(row[strip][lane]));
                high[lane] = sum;
                low[lane] += error;
            }
        }
        Sum { high, low }
    }

    #[inline(always)]
    fn without(&self, lane: usize, value: f32) -> f64 {
        let (difference, error) = two_sum(self.high[lane], -f64::from(value));
        difference + (self.low[lane] + error)
    }
}

/// The rounded sum of two numbers, and what rounding took away (Knuth's `TwoSum`).
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}
