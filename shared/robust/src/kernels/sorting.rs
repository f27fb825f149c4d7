//! Sorting without branches: many columns at once, one in each lane.

use super::columns::Strips;
use super::prefetch::Prefetch;
use super::tiles::{Tile, sort_by, tiles};

/// A sorting network: it compares the same places whatever the values, and only those that matter in the end.
///
/// The processor sorts columns by tiles, of which it compares all rows in registers; a GPU has registers for whole
/// columns, and sorts by pairs.
#[derive(Clone, Debug)]
pub struct SortingNetwork {
    wanted: Vec<bool>,
    tiles: Vec<Tile>,
}

impl SortingNetwork {
    /// A network that puts the right values, in ascending order, at those of `places` for which `wanted` holds.
    pub fn new(places: usize, wanted: impl Fn(usize) -> bool) -> Self {
        let wanted: Vec<bool> = (0..places).map(wanted).collect();
        SortingNetwork { tiles: tiles(&wanted), wanted }
    }

    /// Pairs of places that do the same if they are put in order, the lower first, pair after pair.
    ///
    /// This is Batcher's odd-even merge sort for any number of places (Knuth, The Art of Computer Programming, volume 3,
    /// algorithm 5.2.2M), without the comparisons that the places asked for do not depend on.
    pub fn pairs(&self) -> Vec<(u32, u32)> {
        let mut matters = self.wanted.clone();
        let mut pairs = merge_exchange(matters.len());
        pairs.reverse();
        pairs.retain(|&(low, high)| {
            let needed = matters[low as usize] || matters[high as usize];
            matters[low as usize] |= needed;
            matters[high as usize] |= needed;
            needed
        });
        pairs.reverse();
        pairs
    }

    /// Sorts each lane of `rows`, as many as the network has places, while what is `prefetch` is fetched. Zeros of either
    /// sign are equal; where there is a NaN, anything may come out.
    #[inline(always)]
    pub(crate) fn sort<const S: usize>(&self, rows: &mut [Strips<S>], prefetch: Prefetch<'_>) {
        sort_by(&self.tiles, rows.as_flattened_mut(), S, prefetch);
    }
}

/// All pairs that sort `places` places.
fn merge_exchange(places: usize) -> Vec<(u32, u32)> {
    let mut pairs = Vec::new();
    let top = places.next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut d) = (top, 0, p);
        loop {
            let starts = (0..places.saturating_sub(d)).filter(|i| i & p == r);
            pairs.extend(starts.map(|i| (i as u32, (i + d) as u32)));
            if q == p {
                break;
            }
            (d, r, q) = (q - p, p, q / 2);
        }
        p /= 2;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};

    use super::super::columns::{LANES, Lanes};
    use super::*;
    use rand_chacha::ChaCha12Rng as Stream;

    /// Sorts by the pairs of a network, as a GPU does.
    fn sort_by_pairs(network: &SortingNetwork, values: &[f32]) -> Vec<f32> {
        let mut values = values.to_vec();
        for (low, high) in network.pairs() {
            let (low, high) = (low as usize, high as usize);
            if values[high] < values[low] {
                values.swap(low, high);
            }
        }
        values
    }

    /// A network that sorts every sequence of zeros and ones sorts everything.
    #[test]
    fn every_sequence_of_zeros_and_ones_is_sorted() {
        for places in 0..12_usize {
            let network = SortingNetwork::new(places, |_| true);
            for bits in 0..1_u32 << places {
                let mut rows: Vec<Strips<1>> = (0..places)
                    .map(|i| [Lanes([if bits >> i & 1 == 1 { 1.0 } else { 0.0 }; LANES])])
                    .collect();
                let values: Vec<f32> = rows.iter().map(|row| row[0][0]).collect();
                assert!(sort_by_pairs(&network, &values).is_sorted(), "pairs of {places} places, {bits:b}");
                network.sort(&mut rows, Prefetch::default());
                assert!(rows.is_sorted_by(|a, b| a[0][0] <= b[0][0]), "{places} places, {bits:b}");
            }
        }
    }

    #[test]
    fn any_number_of_places_is_sorted_though_few_values_differ() {
        let mut stream = Stream::from_seed([0; 32]);
        for places in 1..300_usize {
            let network = SortingNetwork::new(places, |_| true);
            for values in 2..8_u8 {
                let mut rows: Vec<Strips<1>> = (0..places)
                    .map(|_| [Lanes([f32::from(stream.random_range(0..values)); LANES])])
                    .collect();
                let mut expected: Vec<f32> = rows.iter().map(|row| row[0][0]).collect();
                expected.sort_by(f32::total_cmp);
                network.sort(&mut rows, Prefetch::default());
                let sorted: Vec<f32> = rows.iter().map(|row| row[0][LANES - 1]).collect();
                assert_eq!(sorted, expected, "{places} places, {values} values");
            }
        }
    }

    proptest! {
        #[test]
        fn lanes_are_sorted_each_on_its_own(
            values in vec(any::<f32>().prop_filter("no NaN", |value| !value.is_nan()), 1..200),
        ) {
            let network = SortingNetwork::new(values.len(), |_| true);
            let mut rows: Vec<Strips<2>> = values.iter().map(|value| [Lanes([*value; LANES]); 2]).collect();
            rows.iter_mut().for_each(|row| row[1][1] = -row[1][1]);
            network.sort(&mut rows, Prefetch::default());
            let mut expected = values.clone();
            expected.sort_by(f32::total_cmp);
            prop_assert_eq!(rows.iter().map(|row| row[1][0]).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(rows.iter().rev().map(|row| -row[1][1]).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn places_that_are_wanted_get_the_right_values(
            (values, start, end) in vec(-1e6..1e6_f32, 1..300).prop_flat_map(|values| {
                let m = values.len();
                (Just(values), 0..m, 0..m)
            }),
        ) {
            let wanted = |place| start.min(end) <= place && place <= start.max(end);
            let network = SortingNetwork::new(values.len(), wanted);
            let mut rows: Vec<Strips<1>> = values.iter().map(|value| [Lanes([*value; LANES])]).collect();
            network.sort(&mut rows, Prefetch::default());
            let by_pairs = sort_by_pairs(&network, &values);
            let mut expected = values;
            expected.sort_by(f32::total_cmp);
            for place in (0..rows.len()).filter(|&place| wanted(place)) {
                prop_assert_eq!(rows[place][0][3], expected[place]);
                prop_assert_eq!(by_pairs[place], expected[place]);
            }
        }
    }
}
