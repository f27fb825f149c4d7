//! The coordinate-wise median.

use pulp::{Arch, Simd, WithSimd};

use super::ahead::Ahead;
use super::columns::{Statistic, Strips, WIDE_UP_TO, map_columns, map_columns_to_one, midpoint};
use super::ranks::at_places;
use super::sorting::SortingNetwork;
use super::{Rule, RuleError, Updates};
use simd::{Lanes, parts, vectors, vectors_mut};

/// Coordinate-wise median; for an even number of devices the mean of the two middle values (paper, section
/// 2.2; Yin et al., ICML 2018).
///
/// While fewer than half of the devices are Byzantine, each coordinate of the result lies between the
/// smallest and the largest benign value. Weights are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Median;

impl Rule for Median {
    fn name(&self) -> &'static str {
        "median"
    }

    fn aggregate(&self, updates: &Updates<'_>) -> Result<Vec<f32>, RuleError> {
        self.check(updates.len())?;
        let (lower, upper) = ((updates.len() - 1) / 2, updates.len() / 2);
        if updates.len() > WIDE_UP_TO {
            return Ok(map_columns_to_one(updates, &MiddleOfMany { lower, upper }));
        }
        let network = SortingNetwork::new(updates.len(), |place| place == lower || place == upper);
        Ok(map_columns_to_one(updates, &Middle { network, lower, upper }))
    }

    /// One sort per coordinate: without a value, the middle is the next place or the one before.
    fn leave_one_out(&self, updates: &Updates<'_>, aggregates: &mut Vec<Vec<f32>>) -> Result<(), RuleError> {
        let devices = updates.len();
        self.check(devices.saturating_sub(1))?;
        let around = devices / 2 - 1..=devices / 2 + devices % 2;
        let network = SortingNetwork::new(devices, |place| around.contains(&place));
        map_columns(updates, &MiddlesWithoutEach { network, devices }, aggregates);
        Ok(())
    }
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
        ahead: Ahead<'_>,
    ) {
        self.network.sort(columns, ahead);
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
        mut ahead: Ahead<'_>,
    ) {
        for (strip, result) in results[0].iter_mut().enumerate() {
            let [lower, upper] = at_places(columns, strip, [self.lower, self.upper], &mut ahead);
            *result = midpoint(&lower, &upper);
        }
    }
}

/// For each value the median of the others.
struct MiddlesWithoutEach {
    network: SortingNetwork,
    devices: usize,
}

impl Statistic for MiddlesWithoutEach {
    fn results(&self) -> usize {
        self.devices
    }

    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        ahead: Ahead<'_>,
    ) {
        results.copy_from_slice(columns);
        self.network.sort(columns, ahead);
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
            Arch::new().dispatch(WithoutEach { results, strip, medians });
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
struct WithoutEach<'a, const S: usize> {
    results: &'a mut [Strips<S>],
    strip: usize,
    medians: Medians,
}

impl<const S: usize> WithSimd for WithoutEach<'_, S> {
    type Output = ();

    /// With the machine's own vectors: of comparisons lane by lane the compiler makes branches.
    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) {
        let WithoutEach { results, strip, medians } = self;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{aggregate, matrix};
    use proptest::prelude::*;

    #[test]
    fn an_odd_number_of_devices_has_one_middle_value() {
        let rows = [vec![5.0, -1.0], vec![1.0, -3.0], vec![2.0, 1e30]];
        assert_eq!(aggregate(&Median, &rows), [2.0, -1.0]);
        assert_eq!(aggregate(&Median, &rows[..1]), rows[0]);
    }

    #[test]
    fn an_even_number_of_devices_gives_the_mean_of_the_two_middle_values() {
        let rows = [vec![5.0, 8.0], vec![1.0, 8.0], vec![2.0, -8.0], vec![-1e30, 8.0]];
        assert_eq!(aggregate(&Median, &rows), [1.5, 8.0]);
        assert_eq!(aggregate(&Median, &[vec![f32::MAX], vec![f32::MAX]]), [f32::MAX]);
    }

    #[test]
    fn values_that_are_not_finite_do_not_panic() {
        let rows = [vec![f32::NAN], vec![f32::INFINITY], vec![-f32::NAN], vec![1.0], vec![2.0]];
        assert_eq!(aggregate(&Median, &rows).len(), 1);
    }

    #[test]
    fn zeros_of_either_sign_have_one_median() {
        for devices in 2..40_u8 {
            let rows: Vec<Vec<f32>> =
                (0..devices).map(|device| vec![if device % 3 == 0 { 0.0 } else { -0.0 }]).collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let updates = Updates::new(&rows, None).unwrap();
            let mut medians = Vec::new();
            Median.leave_one_out(&updates, &mut medians).unwrap();
            medians.push(Median.aggregate(&updates).unwrap());
            assert!(medians.iter().all(|median| median[0].to_bits() == 0), "{devices} devices");
        }
    }

    /// The definition by counting: the value at sorted position `rank` has at most `rank` values below it,
    /// and more than `rank` that are not above it.
    fn at_rank(values: &[f32], rank: usize) -> f32 {
        let below = |x: f32| values.iter().filter(|&&v| v < x).count();
        let not_above = |x: f32| values.iter().filter(|&&v| v <= x).count();
        values.iter().copied().find(|&x| below(x) <= rank && rank < not_above(x)).unwrap()
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition_by_counting(rows in matrix(1..12)) {
            let m = rows.len();
            for (j, actual) in aggregate(&Median, &rows).into_iter().enumerate() {
                let column: Vec<f32> = rows.iter().map(|row| row[j]).collect();
                let (lower, upper) = (at_rank(&column, (m - 1) / 2), at_rank(&column, m / 2));
                prop_assert_eq!(actual, lower / 2.0 + upper / 2.0);
            }
        }
    }
}
