//! The coordinate-wise trimmed mean.

use std::ops::Range;

use super::ahead::Ahead;
use super::columns::{LANES, Lanes, Statistic, Strips, WIDE_UP_TO, map_columns, map_columns_to_one, mean};
use super::ranks::at_places;
use super::sorting::SortingNetwork;
use super::{Rule, RuleError, Updates};

/// Per coordinate the mean without the β largest and the β smallest values (paper, section 2.2; Yin et al.,
/// ICML 2018).
///
/// The paper asks for c <= β < m / 2. The rule can check only the second part; with the first, each
/// coordinate of the result lies between the smallest and the largest benign value. Sums are taken in `f64`
/// and in ascending order, or of so many devices that they are not sorted, on a common grid: so the order of the
/// devices does not matter. Weights are ignored.
#[derive(Clone, Copy, Debug)]
pub struct TrimmedMean {
    /// Number of values dropped at each end (the paper's β).
    pub trim: usize,
}

impl Rule for TrimmedMean {
    fn name(&self) -> &'static str {
        "trimmed-mean"
    }

    fn check(&self, devices: usize) -> Result<(), RuleError> {
        if self.trim.saturating_mul(2) < devices {
            return Ok(());
        }
        Err(RuleError::Condition {
            rule: self.name(),
            condition: "trim < devices / 2",
            parameter: "trim",
            value: self.trim,
            devices,
        })
    }

    fn aggregate(&self, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
        self.check(updates.len())?;
        if !Self::adds_up_in_order(updates.len()) {
            return Ok(map_columns_to_one(updates, &MeanOfMany { trim: self.trim }));
        }
        Ok(map_columns_to_one(updates, &MeanOfKept(self.kept(updates.len()))))
    }

    /// One sort per coordinate: without a value, those that are kept are the same but for one.
    fn leave_one_out(&self, updates: &Updates<'_>, aggregates: &mut Vec<Vec<f32>>) -> Result<(), RuleError> {
        self.check(updates.len().saturating_sub(1))?;
        map_columns(updates, &MeansWithoutEach(self.kept(updates.len())), aggregates);
        Ok(())
    }
}

impl TrimmedMean {
    /// Whether the values of so many devices are added up in ascending order, and not on a common grid.
    pub fn adds_up_in_order(devices: usize) -> bool {
        devices <= WIDE_UP_TO
    }

    /// What is kept of `devices` values, a number that has passed the check.
    fn kept(self, devices: usize) -> Kept {
        let places = self.trim..devices - self.trim;
        Kept { network: SortingNetwork::new(devices, |place| places.contains(&place)), places }
    }
}

/// The values at some places of the sorted column.
struct Kept {
    network: SortingNetwork,
    places: Range<usize>,
}

impl Kept {
    #[inline(always)]
    fn of<'a, const S: usize>(&self, columns: &'a mut [Strips<S>], ahead: Ahead<'_>) -> &'a [Strips<S>] {
        self.network.sort(columns, ahead);
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
        ahead: Ahead<'_>,
    ) {
        let kept = self.0.of(columns, ahead);
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
        mut ahead: Ahead<'_>,
    ) {
        let devices = columns.len();
        let kept = (devices - 2 * self.trim) as f64;
        for (strip, result) in results[0].iter_mut().enumerate() {
            let places = [self.trim, devices - 1 - self.trim];
            let [least, greatest] = at_places(columns, strip, places, &mut ahead);
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
struct MeansWithoutEach(Kept);

impl Statistic for MeansWithoutEach {
    fn results(&self) -> usize {
        // As many as there are devices: what is kept ends as far from the last as it starts from the first.
        self.0.places.start + self.0.places.end
    }

    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        ahead: Ahead<'_>,
    ) {
        results.copy_from_slice(columns);
        let kept = self.0.of(columns, ahead);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, matrix};
    use crate::{Mean, Median};
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn drops_as_many_values_at_each_end() {
        let rows = [vec![4.0, 9.0], vec![-1e30, 1.0], vec![2.0, 2.0], vec![1e30, 4.0], vec![0.0, -9.0]];
        assert_eq!(aggregate(&TrimmedMean { trim: 1 }, &rows), [2.0, 7.0 / 3.0]);
        assert_eq!(aggregate(&TrimmedMean { trim: 2 }, &rows), [2.0, 2.0]);
    }

    #[test]
    fn what_is_left_without_a_large_value_is_not_lost_beside_it() {
        let rows: [&[f32]; 4] = [&[1e30], &[1.0], &[2.0], &[-6.0]];
        let (updates, mut without) = (Updates::new(&rows, None).unwrap(), Vec::new());
        TrimmedMean { trim: 0 }.leave_one_out(&updates, &mut without).unwrap();
        assert_eq!(without[0], [-1.0]);
    }

    #[test]
    fn at_least_one_value_must_be_left() {
        assert_eq!(TrimmedMean { trim: 2 }.check(5), Ok(()));
        assert_eq!(TrimmedMean { trim: 0 }.check(1), Ok(()));
        for (trim, devices) in [(2, 4), (3, 5), (0, 0), (usize::MAX, 100)] {
            assert!(TrimmedMean { trim }.check(devices).is_err(), "{trim} of {devices}");
        }
        let rows: [&[f32]; 2] = [&[1.0], &[2.0]];
        let refused = TrimmedMean { trim: 1 }.aggregate(&Updates::new(&rows, None).unwrap());
        assert_eq!(
            refused.unwrap_err().to_string(),
            "trimmed-mean needs trim < devices / 2, but trim = 1 and devices = 2: \
             raise the number of devices or lower aggregation.trim"
        );
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic() {
        let rows = [vec![f32::NAN], vec![f32::INFINITY], vec![1.0], vec![f32::NEG_INFINITY], vec![3.0]];
        assert_eq!(aggregate(&TrimmedMean { trim: 2 }, &rows).len(), 1);
    }

    /// The definition by hand: take one largest and one smallest value away, `trim` times.
    fn by_removal(mut values: Vec<f32>, trim: usize) -> f32 {
        for _ in 0..trim {
            for extreme in [f32::max, f32::min] {
                let value = values.iter().copied().reduce(extreme).unwrap();
                values.swap_remove(values.iter().position(|&v| v == value).unwrap());
            }
        }
        (values.iter().copied().map(f64::from).sum::<f64>() / values.len() as f64) as f32
    }

    proptest! {
        #[test]
        fn agrees_with_removing_extremes_one_by_one(rows in matrix(1..12), trim in 0..6_usize) {
            let trim = trim.min((rows.len() - 1) / 2);
            for (j, actual) in aggregate(&TrimmedMean { trim }, &rows).into_iter().enumerate() {
                let column = rows.iter().map(|row| row[j]).collect();
                prop_assert_eq!(actual, by_removal(column, trim));
            }
        }

        #[test]
        fn of_many_devices_it_is_that_of_the_sorted_values_in_whatever_order(
            (values, shuffled) in vec(
                prop_oneof![-1.0..1.0_f32, -1e30..1e30_f32, (-2..3_i8).prop_map(f32::from)],
                WIDE_UP_TO + 1..WIDE_UP_TO + 200,
            )
            .prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle())),
            share in 0.0..0.5,
        ) {
            let column = |values: &[f32]| values.iter().map(|value| vec![*value]).collect::<Vec<_>>();
            let trim = ((values.len() - 1) as f64 * share) as usize;
            let actual = aggregate(&TrimmedMean { trim }, &column(&values))[0];
            prop_assert_eq!(actual.to_bits(), aggregate(&TrimmedMean { trim }, &column(&shuffled))[0].to_bits());
            let mut sorted: Vec<f64> = values.iter().copied().map(f64::from).collect();
            sorted.sort_by(f64::total_cmp);
            let kept = &sorted[trim..values.len() - trim];
            let (mean, largest) = (kept.iter().sum::<f64>() / kept.len() as f64, kept[0].abs().max(kept[kept.len() - 1].abs()));
            prop_assert!((f64::from(actual) - mean).abs() <= mean.abs() * 1e-7 + largest * 1e-12, "{actual} {mean}");
        }

        #[test]
        fn is_the_mean_without_trimming_and_the_median_with_the_most(rows in matrix(1..12)) {
            prop_assert_eq!(aggregate(&TrimmedMean { trim: 0 }, &rows), aggregate(&Mean, &rows));
            let trim = (rows.len() - 1) / 2;
            prop_assert_eq!(aggregate(&TrimmedMean { trim }, &rows), aggregate(&Median, &rows));
        }
    }
}
