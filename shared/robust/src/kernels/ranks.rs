//! Order statistics of a column, without sorting it: for columns so long that sorting them leaves the
//! first-level cache.

use pulp::{Arch, Simd, WithSimd};

use super::columns::{LANES, Lanes, Strips};
use super::prefetch::Prefetch;
use simd::{parts, vectors};

/// Guesses between the two halves that follow: most values lie close to where a straight line puts them.
const GUESSES: usize = 8;

/// The values at the places `P` of each sorted column of a strip. Of NaN and infinities, anything.
///
/// Each is enclosed between a bound that so many values do not exceed and one that more do, which are drawn together by
/// counting: at first where a straight line between the two puts it, then half-way between them in the order of all
/// numbers, so that no values take more than some forty counts.
#[inline(always)]
pub(crate) fn at_places<const S: usize, const P: usize>(
    columns: &[Strips<S>],
    strip: usize,
    places: [usize; P],
    prefetch: &mut Prefetch<'_>,
) -> [Lanes; P] {
    let (least, greatest) = extremes(columns, strip, prefetch);
    let mut bounds = places.map(|place| Bounds::new(place as u32, columns.len() as u32, &least, &greatest));
    let mut counts = 0;
    while bounds.iter().any(|bounds| !bounds.are_tight()) {
        for bounds in &mut bounds {
            bounds.choose_pivot(counts < GUESSES);
        }
        let mut pivots = [Lanes::ZERO; P];
        for (pivot, bounds) in pivots.iter_mut().zip(&bounds) {
            *pivot = bounds.pivot;
        }
        let up_to_pivots = Arch::new().dispatch(UpTo { columns, strip, pivots, prefetch });
        for (bounds, up_to_pivot) in bounds.iter_mut().zip(&up_to_pivots) {
            bounds.narrow(up_to_pivot);
        }
        counts += 1;
    }
    let mut values = [Lanes::ZERO; P];
    for (value, bounds) in values.iter_mut().zip(&bounds) {
        *value = bounds.value(columns, strip);
    }
    values
}

/// Counts how many values of each column do not exceed each pivot.
struct UpTo<'a, 'b, const S: usize, const P: usize> {
    columns: &'a [Strips<S>],
    strip: usize,
    pivots: [Lanes; P],
    prefetch: &'a mut Prefetch<'b>,
}

impl<const S: usize, const P: usize> WithSimd for UpTo<'_, '_, S, P> {
    type Output = [[u32; LANES]; P];

    /// With the machine's own vectors: of plain loops the compiler makes jumps.
    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) -> Self::Output {
        let mut results = [[0; LANES]; P];
        let (zero, one) = (simd.splat_u32s(0), simd.splat_u32s(1));
        for part in parts::<V>() {
            let (mut counts, mut pivots) = ([zero; P], [simd.splat_f32s(0.0); P]);
            for (pivot, lanes) in pivots.iter_mut().zip(&self.pivots) {
                *pivot = vectors::<V>(lanes)[part];
            }
            for row in self.columns {
                self.prefetch.fetch_line();
                let values = vectors::<V>(&row[self.strip])[part];
                for (count, pivot) in counts.iter_mut().zip(pivots) {
                    let is_up_to = simd.less_than_or_equal_f32s(values, pivot);
                    *count = simd.add_u32s(*count, simd.select_u32s(is_up_to, one, zero));
                }
            }
            for (result, count) in results.iter_mut().zip(counts) {
                V::as_mut_simd_u32s(&mut result[..]).0[part] = count;
            }
        }
        results
    }
}

/// The least and the greatest value of each column.
#[inline(always)]
fn extremes<const S: usize>(
    columns: &[Strips<S>],
    strip: usize,
    prefetch: &mut Prefetch<'_>,
) -> (Lanes, Lanes) {
    let (mut least, mut greatest) = (Lanes([f32::INFINITY; LANES]), Lanes([f32::NEG_INFINITY; LANES]));
    for row in columns {
        prefetch.fetch_line();
        for lane in 0..LANES {
            let value = row[strip][lane];
            least[lane] = if value < least[lane] { value } else { least[lane] };
            greatest[lane] = if value > greatest[lane] { value } else { greatest[lane] };
        }
    }
    (least, greatest)
}

/// Between which numbers the value at a place lies, in each lane.
#[derive(Clone, Copy)]
struct Bounds {
    place: u32,
    /// Below the value; so many values do not exceed it.
    low: Lanes,
    up_to_low: [u32; LANES],
    /// The value or above it; so many values do not exceed it.
    high: Lanes,
    up_to_high: [u32; LANES],
    /// Where values are counted next.
    pivot: Lanes,
}

impl Bounds {
    #[inline(always)]
    fn new(place: u32, count: u32, least: &Lanes, greatest: &Lanes) -> Self {
        let mut low = *least;
        for lane in 0..LANES {
            low[lane] = number(order(least[lane]).saturating_sub(1));
        }
        Bounds {
            place,
            low,
            up_to_low: [0; LANES],
            high: *greatest,
            up_to_high: [count; LANES],
            pivot: *greatest,
        }
    }

    /// Whether every lane has its value: it is the first above the lower bound, or the last up to the upper one.
    #[inline(always)]
    fn are_tight(&self) -> bool {
        let mut open = 0;
        for lane in 0..LANES {
            let is_next = order(self.high[lane]).saturating_sub(order(self.low[lane])) <= 1;
            let is_alone = self.up_to_low[lane] == self.place || self.up_to_high[lane] == self.place + 1;
            open += u32::from(!(is_next || is_alone));
        }
        open == 0
    }

    #[inline(always)]
    fn choose_pivot(&mut self, guess: bool) {
        for lane in 0..LANES {
            let (low, high) = (self.low[lane], self.high[lane]);
            let inside = (self.up_to_high[lane] - self.up_to_low[lane]) as f32;
            let share = ((self.place - self.up_to_low[lane]) as f32 + 0.5) / inside;
            let guessed = low + (high - low) * share;
            let half = number(midpoint(order(low), order(high)));
            self.pivot[lane] = if guess && low < guessed && guessed < high { guessed } else { half };
        }
    }

    /// Takes the pivot for one of the bounds: so many values do not exceed it.
    #[inline(always)]
    fn narrow(&mut self, up_to_pivot: &[u32; LANES]) {
        for (lane, &count) in up_to_pivot.iter().enumerate() {
            let (pivot, is_below) = (self.pivot[lane], count <= self.place);
            self.low[lane] = if is_below { pivot } else { self.low[lane] };
            self.up_to_low[lane] = if is_below { count } else { self.up_to_low[lane] };
            self.high[lane] = if is_below { self.high[lane] } else { pivot };
            self.up_to_high[lane] = if is_below { self.up_to_high[lane] } else { count };
        }
    }

    #[inline(always)]
    fn value<const S: usize>(&self, columns: &[Strips<S>], strip: usize) -> Lanes {
        let (mut first, mut last) = (self.high, self.low);
        for row in columns {
            for lane in 0..LANES {
                let value = row[strip][lane];
                first[lane] = if value > self.low[lane] && value < first[lane] { value } else { first[lane] };
                last[lane] = if value <= self.high[lane] && value > last[lane] { value } else { last[lane] };
            }
        }
        for lane in 0..LANES {
            let is_last = self.up_to_high[lane] == self.place + 1;
            first[lane] = if is_last { last[lane] } else { first[lane] };
        }
        first
    }
}

/// A whole number that is as large among others as `value` is among numbers; both zeros are 0.
#[inline(always)]
fn order(value: f32) -> i32 {
    let bits = value.to_bits().cast_signed();
    let sign = bits >> 31;
    ((bits & i32::MAX) ^ sign) - sign
}

/// The number that [`order`] makes this of.
#[inline(always)]
fn number(order: i32) -> f32 {
    let sign = order >> 31;
    f32::from_bits((((order ^ sign) - sign) | (sign & i32::MIN)).cast_unsigned())
}

/// The whole number half-way, rounded down.
#[inline(always)]
fn midpoint(a: i32, b: i32) -> i32 {
    (a & b) + ((a ^ b) >> 1)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f32], places: [usize; 2]) -> [f32; 2] {
        let rows: Vec<Strips<1>> = values.iter().map(|value| [Lanes([*value; LANES])]).collect();
        at_places(&rows, 0, places, &mut Prefetch::default()).map(|lanes| lanes[7])
    }

    #[test]
    fn numbers_keep_their_order_as_whole_numbers() {
        let numbers = [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-45, 0.0, 1e-45, 1.0, f32::MAX, f32::INFINITY];
        assert!(numbers.is_sorted_by(|a, b| order(*a) < order(*b)));
        assert_eq!((order(-0.0), order(1e-45), order(-1e-45)), (0, 1, -1));
        assert!(numbers.iter().all(|value| number(order(*value)).to_bits() == value.to_bits()));
        assert_eq!((midpoint(-3, -2), midpoint(i32::MIN, i32::MAX)), (-3, -1));
    }

    #[test]
    fn what_is_no_number_neither_panics_nor_lasts_for_ever() {
        of(&[f32::NAN, 1.0, f32::INFINITY, -f32::NAN, f32::NEG_INFINITY], [0, 3]);
        of(&[f32::NAN; 3], [0, 2]);
        of(&[f32::INFINITY; 3], [1, 2]);
    }

    proptest! {
        #[test]
        fn they_are_those_of_the_sorted_column(
            // Close together, far apart, and the same again and again.
            values in vec(
                prop_oneof![-1.0..1.0_f32, any::<f32>().prop_filter("finite", |v| v.is_finite()), (-2..3_i8).prop_map(f32::from)],
                1..300,
            ),
            (first, second) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let places = [first.index(values.len()), second.index(values.len())];
            let mut sorted = values.clone();
            sorted.sort_by(f32::total_cmp);
            // Equal as numbers: which zero it is does not count.
            prop_assert_eq!(of(&values, places), places.map(|place| sorted[place]));
        }
    }

    #[test]
    fn lanes_go_their_own_ways() {
        let value = |row: usize, lane: usize| {
            ((row * 37 + lane * 11) % 101) as f32 * 1e4_f32 / 2.0_f32.powf(2.0 * lane as f32)
        };
        let rows: Vec<Strips<2>> =
            (0..101).map(|row| [Lanes::ZERO, Lanes(std::array::from_fn(|lane| value(row, lane)))]).collect();
        let [found] = at_places(&rows, 1, [40], &mut Prefetch::default());
        for lane in 0..LANES {
            let mut sorted: Vec<f32> = (0..101).map(|row| value(row, lane)).collect();
            sorted.sort_by(f32::total_cmp);
            assert_eq!(found[lane], sorted[40], "{lane}");
        }
    }
}
