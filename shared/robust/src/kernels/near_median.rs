//! Bulyan's second stage: per coordinate the mean of the values nearest their median.

use std::hint::black_box;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::columns::{Statistic, Strips, add, map_columns_to_one};
use super::prefetch::Prefetch;
use super::sorting::SortingNetwork;
use crate::Updates;
use simd::{LANES, Lanes, parts, vectors, vectors_mut};

/// The mean of the `count` values of each column nearest their median, d values; of two equally far, the lower counts.
pub(crate) fn mean_near_median(updates: &Updates<'_>, count: usize) -> Vec<f32> {
    let network = SortingNetwork::new(updates.len(), |_| true);
    map_columns_to_one(updates, &MeanNearMedian { network, count })
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
        prefetch: Prefetch<'_>,
    ) {
        self.network.sort(columns, prefetch);
        for (strip, mean) in results[0].iter_mut().enumerate() {
            *mean = average(columns, strip, self.count);
        }
    }
}

/// The mean of the `count` values nearest the median of each column of a strip, which is sorted.
#[inline(always)]
pub(super) fn average<const S: usize>(sorted: &[Strips<S>], strip: usize, count: usize) -> Lanes {
    Arch::new().dispatch(Average { sorted, strip, count })
}

/// What [`average`] does, written with the machine's own vectors: of comparisons lane by lane the compiler makes branches.
struct Average<'a, const S: usize> {
    sorted: &'a [Strips<S>],
    strip: usize,
    count: usize,
}

impl<const S: usize> WithSimd for Average<'_, S> {
    type Output = Lanes;

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) -> Lanes {
        let Average { sorted, strip, count } = self;
        let (near, mut sums) = (Near::median_of(sorted.len(), count), [0.0; LANES]);
        if !near.add_up(simd, sorted, strip, &mut sums) {
            sums = near.sums_decided(sorted, strip);
        }
        // To divide takes far longer than to multiply.
        let share = (count as f64).recip();
        Lanes(sums.map(|sum| (sum * share) as f32))
    }
}

/// The sorted values that are nearest a median.
///
/// They lie side by side. While what would be left behind is farther from the median than what would come in, the first
/// of them is one place on: the former falls from place to place and the latter rises. So of each pair of places `count`
/// apart one counts, and between the pairs all do; that is the order of the sum. Which is farther, the sum of both tells
/// beside twice the median; where sums in `f32` are equal, those in `f64` do.
#[derive(Clone, Copy)]
struct Near {
    /// The two places in the middle, with at most one between them: the median is half the sum of their values.
    lower: usize,
    upper: usize,
    /// How many values.
    count: usize,
}

impl Near {
    /// The `count` values nearest the median of so many.
    #[inline(always)]
    fn median_of(values: usize, count: usize) -> Self {
        Near { lower: (values - 1) / 2, upper: values / 2, count }
    }

    /// The places that may be left behind or not. Of those before, the next `count` values end at the median at the
    /// latest; from the lower of the middle ones on, what would come in is as far at least, but for a value between them.
    #[inline(always)]
    fn doubtful(self, values: usize) -> Range<usize> {
        let end = self.lower + usize::from(self.lower + self.count < self.upper);
        (self.lower + 1).saturating_sub(self.count)..end.min(values - self.count)
    }

    /// Adds up those of a strip. Whether that is right, as far as `f32` tells.
    #[inline(always)]
    fn add_up<V: Simd, const S: usize>(
        self,
        simd: V,
        sorted: &[Strips<S>],
        strip: usize,
        sums: &mut [f64; LANES],
    ) -> bool {
        let doubtful = self.doubtful(sorted.len());
        let mut comparison = Comparison::of(simd, sorted, strip, self);
        let ahead = &sorted[doubtful.start + self.count..doubtful.end + self.count];
        for (behind, ahead) in sorted[doubtful.clone()].iter().zip(ahead) {
            // From memory, values are converted as they are loaded, from registers only after they are taken apart.
            add(sums, black_box(&comparison.nearer(&behind[strip], &ahead[strip])));
        }
        for between in &sorted[doubtful.end..doubtful.start + self.count] {
            add(sums, &between[strip]);
        }
        // Two equal ones, which are the median, may count or not.
        let mut is_decided = true;
        if comparison.found_equal() {
            for (behind, ahead) in sorted[doubtful].iter().zip(ahead) {
                is_decided &= !comparison.leaves_undecided(&behind[strip], &ahead[strip]);
            }
        }
        is_decided
    }

    /// The sums where sums in `f32` are equal and those in `f64` decide.
    #[cold]
    fn sums_decided<const S: usize>(self, sorted: &[Strips<S>], strip: usize) -> [f64; LANES] {
        let (Near { lower, upper, count }, doubtful) = (self, self.doubtful(sorted.len()));
        let mut sums = [0.0; LANES];
        for (lane, sum) in sums.iter_mut().enumerate() {
            let value = |place: usize| sorted[place][strip][lane];
            let sum_of =
                |a: usize, b: usize| (value(a) + value(b), f64::from(value(a)) + f64::from(value(b)));
            let is_kept = |place: &usize| sum_of(*place, *place + count) >= sum_of(lower, upper);
            let first = doubtful.clone().find(is_kept).unwrap_or(doubtful.end);
            let nearer = |place: usize| if place < first { place + count } else { place };
            let places = doubtful.start..doubtful.start + count;
            *sum = places.map(nearer).fold(0.0, |sum, place| sum + f64::from(value(place)));
        }
        sums
    }
}

/// What tells which of two values is farther from the median of each lane.
struct Comparison<V> {
    simd: V,
    lower: Lanes,
    upper: Lanes,
    /// The least sum of two values of which the one behind is not farther.
    least: Lanes,
}

impl<V: Simd> Comparison<V> {
    #[inline(always)]
    fn of<const S: usize>(simd: V, sorted: &[Strips<S>], strip: usize, near: Near) -> Self {
        let (lower, upper) = (sorted[near.lower][strip], sorted[near.upper][strip]);
        Comparison { simd, lower, upper, least: Lanes([f32::INFINITY; LANES]) }
    }

    /// The values `behind` where they are not farther away than those `ahead`, and those elsewhere.
    #[inline(always)]
    fn nearer(&mut self, behind: &Lanes, ahead: &Lanes) -> Lanes {
        let (simd, mut nearer) = (self.simd, Lanes::ZERO);
        for part in parts::<V>() {
            let [lower, upper, behind, ahead] =
                [&self.lower, &self.upper, behind, ahead].map(|values| vectors::<V>(values)[part]);
            let sum = simd.add_f32s(behind, ahead);
            let is_kept = simd.greater_than_or_equal_f32s(sum, simd.add_f32s(lower, upper));
            vectors_mut::<V>(&mut nearer)[part] = simd.select_f32s(is_kept, behind, ahead);
            let least = &mut vectors_mut::<V>(&mut self.least)[part];
            *least = simd.select_f32s(is_kept, simd.min_f32s(*least, sum), *least);
        }
        nearer
    }

    /// Whether some sum is equal to twice the median.
    #[inline(always)]
    fn found_equal(&self) -> bool {
        parts::<V>().any(|part| {
            let [lower, upper, least] =
                [&self.lower, &self.upper, &self.least].map(|values| vectors::<V>(values)[part]);
            self.is_any(self.simd.equal_f32s(least, self.simd.add_f32s(lower, upper)))
        })
    }

    /// Whether the sum of two values is equal to twice the median somewhere where they differ.
    #[inline(always)]
    fn leaves_undecided(&self, behind: &Lanes, ahead: &Lanes) -> bool {
        let simd = self.simd;
        parts::<V>().any(|part| {
            let [lower, upper, behind, ahead] =
                [&self.lower, &self.upper, behind, ahead].map(|values| vectors::<V>(values)[part]);
            let equal = simd.equal_f32s(simd.add_f32s(behind, ahead), simd.add_f32s(lower, upper));
            self.is_any(simd.and_m32s(equal, simd.less_than_f32s(behind, ahead)))
        })
    }

    #[inline(always)]
    fn is_any(&self, mask: V::m32s) -> bool {
        self.simd.first_true_m32s(mask) < V::F32_LANES
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::properties::column;

    fn near(values: &[f32], count: usize) -> f32 {
        let rows = column(values);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        mean_near_median(&Updates::new(&rows, None).unwrap(), count)[0]
    }

    #[test]
    fn the_values_nearest_the_median_are_averaged_and_the_lower_of_two_equally_far() {
        assert_eq!(near(&[9.0, 0.0, 4.0, 5.0, 1.0], 3), 10.0 / 3.0); // 4 | 5 | 1
        assert_eq!(near(&[3.0, 1.0, 2.0], 2), 1.5); // 2 | 1, not 3
        assert_eq!(near(&[0.0, 10.0, 2.0, 4.0], 2), 3.0); // median 3
        assert_eq!(near(&[f32::MAX, f32::MAX], 2), f32::MAX);
    }

    #[test]
    fn where_sums_in_f32_tell_nothing_those_in_f64_do() {
        // One and 1 + 3e are 2 + 3e together, less than twice 1 + 2e; but not in `f32`, where both sums are 2 + 4e.
        let e = f32::EPSILON;
        assert_eq!(near(&[1.0, 1.0 + 2.0 * e, 1.0 + 3.0 * e], 2), near(&[1.0 + 2.0 * e, 1.0 + 3.0 * e], 2));
        assert_eq!(
            near(&[f32::MAX, 2e38, 3e38], 2),
            (0.5 * (f64::from(f32::MAX) + f64::from(3e38_f32))) as f32
        );
        assert_eq!(near(&[-f32::MAX, -2e38, -3e38], 2), -near(&[f32::MAX, 2e38, 3e38], 2));
    }

    /// The definition; all differences are exact.
    fn by_definition(values: &[f32], count: usize) -> f32 {
        let mut sorted: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        sorted.sort_by(f64::total_cmp);
        let [lower, upper] = [(sorted.len() - 1) / 2, sorted.len() / 2].map(|place| sorted[place]);
        sorted.sort_by(|a, b| {
            let [far_a, far_b] = [a, b].map(|value| (2.0 * value - (lower + upper)).abs());
            far_a.total_cmp(&far_b).then(a.total_cmp(b))
        });
        sorted.truncate(count);
        sorted.sort_by(f64::total_cmp);
        (sorted.iter().sum::<f64>() / count as f64) as f32
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(
            values in vec(prop_oneof![
                (-3..3_i8).prop_map(f32::from),
                (-1_000..1_000_i16).prop_map(|value| f32::from(value) / 1024.0),
                Just(1e6_f32),
                Just(-1e6_f32),
            ], 1..70),
            count in 1..70_usize,
        ) {
            let count = count.min(values.len());
            prop_assert_eq!(near(&values, count), by_definition(&values, count));
        }
    }
}
