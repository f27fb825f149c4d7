//! The median of each column.

use pulp::{Arch, Simd, WithSimd};

use super::columns::{Statistic, Strips, WIDE_UP_TO, map_columns, map_columns_to_one, midpoint};
use super::prefetch::Prefetch;
use super::ranks::at_places;
use super::sorting::SortingNetwork;
use crate::Updates;
use simd::{Lanes, parts, vectors, vectors_mut};

/// The median of each column, d values: for an even number of rows the mean of the two middle values.
pub(crate) fn of(updates: &Updates<'_>) -> Vec<f32> {
    let (lower, upper) = ((updates.len() - 1) / 2, updates.len() / 2);
    if updates.len() > WIDE_UP_TO {
        return map_columns_to_one(updates, &MiddleOfMany { lower, upper });
    }
    let network = SortingNetwork::new(updates.len(), |place| place == lower || place == upper);
    map_columns_to_one(updates, &Middle { network, lower, upper })
}

/// The medians without each of at least two rows. One sort per column: without a value, the middle is the next place or
/// the one before.
pub(crate) fn leave_one_out(updates: &Updates<'_>, medians: &mut Vec<Vec<f32>>) {
    let devices = updates.len();
    let around = devices / 2 - 1..=devices / 2 + devices % 2;
    let network = SortingNetwork::new(devices, |place| around.contains(&place));
    map_columns(updates, &LeaveOneOutMiddles { network, devices }, medians);
}

/// The mean of the values at two places of the sorted column, which may be one.
struct Middle {
    network: SortingNetwork,
    lower: usize,
    upper: usize,
}

impl Statistic for Middle {
    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        prefetch: Prefetch<'_>,
    ) {
        self.network.sort(columns, prefetch);
        for (strip, result) in results[0].iter_mut().enumerate() {
            *result = midpoint(&columns[self.lower][strip], &columns[self.upper][strip]);
        }
    }
}

struct MiddleOfMany {
    lower: usize,
    upper: usize,
}

impl Statistic for MiddleOfMany {
    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        mut prefetch: Prefetch<'_>,
    ) {
        for (strip, result) in results[0].iter_mut().enumerate() {
            let [lower, upper] = at_places(columns, strip, [self.lower, self.upper], &mut prefetch);
            *result = midpoint(&lower, &upper);
        }
    }
}

/// For each value the median of the others.
struct LeaveOneOutMiddles {
    network: SortingNetwork,
    devices: usize,
}

impl Statistic for LeaveOneOutMiddles {
    fn results(&self) -> usize {
        self.devices
    }

    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        prefetch: Prefetch<'_>,
    ) {
        results.copy_from_slice(columns);
        self.network.sort(columns, prefetch);
        let half = self.devices / 2;
        for (strip, middle) in columns[half].iter().enumerate() {
            let low = &columns[half - 1][strip];
            let (without_smaller, without_middle, without_greater) = if self.devices.is_multiple_of(2) {
                let low = midpoint(low, low);
                (midpoint(middle, middle), low, low)
            } else {
                let high = &columns[half + 1][strip];
                (midpoint(middle, high), midpoint(low, high), midpoint(low, middle))
            };
            let middle = *middle;
            let medians = Medians { middle, without_smaller, without_middle, without_greater };
            Arch::new().dispatch(LeaveOneOut { results, strip, medians });
        }
    }
}

/// What the median of a strip is without a smaller value, without itself, and without a greater one.
struct Medians {
    middle: Lanes,
    without_smaller: Lanes,
    without_middle: Lanes,
    without_greater: Lanes,
}

/// Puts in the place of each value of a strip the median without it.
struct LeaveOneOut<'a, const S: usize> {
    results: &'a mut [Strips<S>],
    strip: usize,
    medians: Medians,
}

impl<const S: usize> WithSimd for LeaveOneOut<'_, S> {
    type Output = ();

    /// With the machine's own vectors: of comparisons lane by lane the compiler makes branches.
    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) {
        let LeaveOneOut { results, strip, medians } = self;
        for part in parts::<V>() {
            let vector = |lanes: &Lanes| vectors::<V>(lanes)[part];
            let (middle, without_middle) = (vector(&medians.middle), vector(&medians.without_middle));
            let without_smaller = vector(&medians.without_smaller);
            let without_greater = vector(&medians.without_greater);
            for result in &mut *results {
                let value = &mut vectors_mut::<V>(&mut result[strip])[part];
                let (is_smaller, is_greater) =
                    (simd.less_than_f32s(*value, middle), simd.greater_than_f32s(*value, middle));
                let otherwise = simd.select_f32s(is_greater, without_greater, without_middle);
                *value = simd.select_f32s(is_smaller, without_smaller, otherwise);
            }
        }
    }
}
