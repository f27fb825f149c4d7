//! Means near the median without one value or another, from the sums of a few windows.

use pulp::{Arch, Simd, WithSimd};

use super::columns::{LANES, Lanes, Strips, add};
use super::near_median::{Near, Tally};
use simd::{parts, vectors, vectors_mut};

/// What the mean of the `count` values nearest the median is without one value or another of a strip.
///
/// The median depends only on whether a smaller or a greater value is left out, or the one in the middle. Of the count + 1
/// values nearest it the one that is left out is missing or, if it is none of them, the one that is farthest. All sums are
/// exact, or there is no [`OneLess`]: so the difference is the sum of the others in whatever order, bit by bit.
pub(crate) struct OneLess {
    without_smaller: Window,
    /// If there is one value in the middle.
    without_middle: Option<Window>,
    without_greater: Window,
    /// The value in the middle, or the greater of two.
    middle: Lanes,
}

impl OneLess {
    /// For a strip of sorted columns of more than `count` values; `None` if some sum may be rounded, or if `f32` does not
    /// tell which values are nearest.
    #[inline(always)]
    pub(crate) fn of<const S: usize>(sorted: &[Strips<S>], strip: usize, count: usize) -> Option<Self> {
        Arch::new().dispatch(Preparation { sorted, strip, count })
    }

    /// The means without these values, which are there.
    #[inline(always)]
    pub(crate) fn mean_without(&self, values: &Lanes, count: usize) -> Lanes {
        Arch::new().dispatch(MeanWithout { one_less: self, values, count })
    }
}

/// See [`OneLess::of`].
struct Preparation<'a, const S: usize> {
    sorted: &'a [Strips<S>],
    strip: usize,
    count: usize,
}

impl<const S: usize> WithSimd for Preparation<'_, S> {
    type Output = Option<OneLess>;

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) -> Option<OneLess> {
        let Preparation { sorted, strip, count } = self;
        let half = sorted.len() / 2;
        let (smaller, middle, greater) = if sorted.len().is_multiple_of(2) {
            ((half, half), None, (half - 1, half - 1))
        } else {
            ((half, half + 1), Some((half - 1, half + 1)), (half - 1, half))
        };
        let without_middle = match middle {
            Some(places) => Some(Window::of(simd, sorted, strip, places, count)?),
            None => None,
        };
        Some(OneLess {
            without_smaller: Window::of(simd, sorted, strip, smaller, count)?,
            without_middle,
            without_greater: Window::of(simd, sorted, strip, greater, count)?,
            middle: sorted[half][strip],
        })
    }
}

/// The count + 1 values nearest a median.
struct Window {
    sums: [f64; LANES],
    least: Lanes,
    greatest: Lanes,
    farthest: Lanes,
}

impl Window {
    /// The median is half the sum of the values at two places.
    #[inline(always)]
    fn of<V: Simd, const S: usize>(
        simd: V,
        sorted: &[Strips<S>],
        strip: usize,
        (lower, upper): (usize, usize),
        count: usize,
    ) -> Option<Self> {
        let [mut nearest, mut window] = [Extent::EMPTY; 2];
        let near = Near { lower, upper, count };
        let is_decided = near.tally(simd, sorted, strip, &mut nearest)
            && Near { count: count + 1, ..near }.tally(simd, sorted, strip, &mut window);
        if !is_decided || !window.has_exact_sums(simd, count + 1) {
            return None;
        }
        let mut farthest = Lanes::ZERO;
        for lane in 0..LANES {
            farthest[lane] = (window.sums[lane] - nearest.sums[lane]) as f32;
        }
        Some(Window { sums: window.sums, least: window.least, greatest: window.greatest, farthest })
    }

    /// The means without these values or, where they are not inside, without the farthest.
    #[inline(always)]
    fn mean_without<V: Simd>(&self, simd: V, values: &Lanes, share: f64) -> Lanes {
        let mut missing = Lanes::ZERO;
        for part in parts::<V>() {
            let [values, least, greatest, farthest] =
                [values, &self.least, &self.greatest, &self.farthest].map(|lanes| vectors::<V>(lanes)[part]);
            let is_inside = simd.and_m32s(
                simd.greater_than_or_equal_f32s(values, least),
                simd.less_than_or_equal_f32s(values, greatest),
            );
            vectors_mut::<V>(&mut missing)[part] = simd.select_f32s(is_inside, values, farthest);
        }
        let mut means = Lanes::ZERO;
        for lane in 0..LANES {
            means[lane] = ((self.sums[lane] - f64::from(missing[lane])) * share) as f32;
        }
        means
    }
}

/// How far some values extend, and what they add up to.
struct Extent {
    sums: [f64; LANES],
    least: Lanes,
    greatest: Lanes,
    /// The least size of those that are not zero.
    finest: Lanes,
}

impl Extent {
    const EMPTY: Self = Extent {
        sums: [0.0; LANES],
        least: Lanes([f32::INFINITY; LANES]),
        greatest: Lanes([f32::NEG_INFINITY; LANES]),
        finest: Lanes([f32::INFINITY; LANES]),
    };

    /// Whether so many values add up exactly in every lane, in whatever order.
    ///
    /// They are multiples of the last digit of the finest, which is at least 2⁻²⁴ of it, and so are their sums: below 2⁵³
    /// times that digit, `f64` has all of them.
    #[inline(always)]
    fn has_exact_sums<V: Simd>(&self, simd: V, count: usize) -> bool {
        let room = simd.splat_f32s((1 << 29) as f32 / count.next_power_of_two() as f32);
        parts::<V>().all(|part| {
            let [least, greatest, finest] =
                [&self.least, &self.greatest, &self.finest].map(|lanes| vectors::<V>(lanes)[part]);
            let largest = simd.max_f32s(simd.abs_f32s(least), simd.abs_f32s(greatest));
            let most = simd.min_f32s(simd.mul_f32s(finest, room), simd.splat_f32s(f32::MAX));
            let is_not = simd.not_m32s(simd.less_than_or_equal_f32s(largest, most));
            simd.first_true_m32s(is_not) >= V::F32_LANES
        })
    }
}

impl Tally for Extent {
    #[inline(always)]
    fn take<V: Simd>(&mut self, simd: V, values: &Lanes) {
        add(&mut self.sums, values);
        for part in parts::<V>() {
            let vector = vectors::<V>(values)[part];
            let least = &mut vectors_mut::<V>(&mut self.least)[part];
            *least = simd.min_f32s(*least, vector);
            let greatest = &mut vectors_mut::<V>(&mut self.greatest)[part];
            *greatest = simd.max_f32s(*greatest, vector);
            let is_zero = simd.equal_f32s(vector, simd.splat_f32s(0.0));
            let size = simd.select_f32s(is_zero, simd.splat_f32s(f32::INFINITY), simd.abs_f32s(vector));
            let finest = &mut vectors_mut::<V>(&mut self.finest)[part];
            *finest = simd.min_f32s(*finest, size);
        }
    }
}

/// See [`OneLess::mean_without`].
struct MeanWithout<'a> {
    one_less: &'a OneLess,
    values: &'a Lanes,
    count: usize,
}

impl WithSimd for MeanWithout<'_> {
    type Output = Lanes;

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) -> Lanes {
        let MeanWithout { one_less, values, count } = self;
        let share = (count as f64).recip();
        let without_smaller = one_less.without_smaller.mean_without(simd, values, share);
        let without_greater = one_less.without_greater.mean_without(simd, values, share);
        let without_middle = match &one_less.without_middle {
            Some(window) => window.mean_without(simd, values, share),
            None => without_greater,
        };
        let mut means = Lanes::ZERO;
        for part in parts::<V>() {
            let [values, middle, without_smaller, without_middle, without_greater] =
                [values, &one_less.middle, &without_smaller, &without_middle, &without_greater]
                    .map(|lanes| vectors::<V>(lanes)[part]);
            let otherwise =
                simd.select_f32s(simd.greater_than_f32s(values, middle), without_greater, without_middle);
            vectors_mut::<V>(&mut means)[part] =
                simd.select_f32s(simd.less_than_f32s(values, middle), without_smaller, otherwise);
        }
        means
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};

    use super::super::near_median::average;
    use super::*;
    use rand_chacha::ChaCha12Rng as Stream;

    /// One column, in every lane.
    fn column(values: &[f32]) -> Vec<Strips<1>> {
        values.iter().map(|value| [Lanes([*value; LANES])]).collect()
    }

    fn sorted(mut values: Vec<f32>) -> Vec<f32> {
        values.sort_by(f32::total_cmp);
        values
    }

    proptest! {
        #[test]
        fn means_are_those_of_the_other_values_bit_by_bit(
            values in vec(prop_oneof![
                (-1.0..1.0_f32),
                (-3..3_i8).prop_map(f32::from),
                Just(-0.0_f32),
                (-1e-6..1e-6_f32),
                Just(f32::MAX),
            ], 2..70).prop_map(sorted),
            count in 1..70_usize,
        ) {
            let count = count.min(values.len() - 1);
            let Some(one_less) = OneLess::of(&column(&values), 0, count) else { return Ok(()) };
            for (place, value) in values.iter().enumerate() {
                let others: Vec<f32> = [&values[..place], &values[place + 1..]].concat();
                let mean = one_less.mean_without(&Lanes([*value; LANES]), count);
                let expected = average(&column(&others), 0, count);
                prop_assert_eq!(mean.map(f32::to_bits), expected.map(f32::to_bits), "without {}", value);
            }
        }
    }

    #[test]
    fn ordinary_values_add_up_exactly() {
        let mut stream = Stream::from_seed([0; 32]);
        for values in 2..70_usize {
            let values = sorted((0..values).map(|_| stream.random_range(-0.1..0.1)).collect());
            for count in 1..values.len() {
                assert!(OneLess::of(&column(&values), 0, count).is_some(), "{count} of {values:?}");
            }
        }
    }

    #[test]
    fn sums_that_may_be_rounded_are_left_alone() {
        let one_less = |values: &[f32]| OneLess::of(&column(values), 0, 3);
        assert!(one_less(&[-1e-3, 0.0, 1e-7, 2e-3, 2.0]).is_some());
        // 2e-3 is 2e8 times 1e-11.
        assert!(one_less(&[-1e-3, 0.0, 1e-11, 2e-3, 2.0]).is_none());
        assert!(one_less(&[0.0, 1.0, 2.0, f32::INFINITY, f32::INFINITY]).is_none());
    }
}
