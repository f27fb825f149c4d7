//! Bulyan's second stage for many selections that differ little, as those do that leave out one update or another.

use std::cmp::Reverse;

use pulp::{Arch, Simd, WithSimd};

use super::columns::{Statistic, Strips, map_columns};
use super::near_median::average;
use super::prefetch::Prefetch;
use super::sorting::SortingNetwork;
use crate::{Updates, different};
use simd::{LANES, Lanes, parts, vectors, vectors_mut};

/// For each of the `selections` of rows, all of one size, what [`mean_near_median`](super::near_median::mean_near_median)
/// makes of them.
///
/// The rows that most are of are sorted once; for each selection, values of those that it has not are replaced or left out.
pub(crate) fn means_near_medians(
    updates: &Updates<'_>,
    selections: &[&[usize]],
    count: usize,
    means: &mut Vec<Vec<f32>>,
) {
    let size = selections.first().map_or(0, |rows| rows.len());
    let mut selected = vec![0; updates.len()];
    selections.iter().copied().flatten().for_each(|row| selected[*row] += 1);
    let mut common: Vec<usize> = (0..updates.len()).collect();
    common.sort_by_key(|row| Reverse(selected[*row]));
    common.truncate(size + 1);
    let (firsts, places) = different(selections);
    let values = |(place, rows): (usize, &&[usize])| match firsts[places[place]] {
        first if first < place => Values::As(first),
        _ => {
            let comes = rows.iter().copied().filter(|row| !common.contains(row));
            let goes = common.iter().copied().filter(|row| !rows.contains(row));
            Values::Common(goes.zip(comes.map(Some).chain([None])).collect())
        }
    };
    let selections = selections.iter().enumerate().map(values).collect();
    let network = SortingNetwork::new(common.len(), |_| true);
    map_columns(updates, &MeansNearMedians { selections, common, network, count, size }, means);
}

struct MeansNearMedians {
    selections: Vec<Values>,
    /// The rows that most selections are of: one more than each has, if there is one.
    common: Vec<usize>,
    network: SortingNetwork,
    count: usize,
    /// Rows of a selection.
    size: usize,
}

/// The values of a selection.
enum Values {
    /// Those of the common rows, where some go and others come in their places, or none does.
    Common(Vec<(usize, Option<usize>)>),
    /// Those of an earlier selection.
    As(usize),
}

impl Statistic for MeansNearMedians {
    fn results(&self) -> usize {
        self.selections.len()
    }

    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        mut prefetch: Prefetch<'_>,
    ) {
        let mut common: Vec<Strips<S>> = self.common.iter().map(|row| columns[*row]).collect();
        self.network.sort(&mut common, Prefetch::default());
        let mut sorted = common.clone();
        for (place, selection) in self.selections.iter().enumerate() {
            match selection {
                Values::As(earlier) => results[place] = results[*earlier],
                Values::Common(replaced) => {
                    sorted.copy_from_slice(&common);
                    for (goes, comes) in replaced {
                        // What is above all is the last, and no value of the selection.
                        let comes = comes.map_or([Lanes([f32::INFINITY; LANES]); S], |row| columns[row]);
                        let goes = &columns[*goes];
                        Arch::new().dispatch(Replace { sorted: &mut sorted, goes, comes: &comes });
                    }
                    for (strip, mean) in results[place].iter_mut().enumerate() {
                        *mean = average(&sorted[..self.size], strip, self.count);
                        prefetch.fetch_line();
                    }
                }
            }
        }
    }
}

/// Replaces one value of each lane of sorted rows, which stay sorted.
struct Replace<'a, const S: usize> {
    sorted: &'a mut [Strips<S>],
    /// A value that is there.
    goes: &'a Strips<S>,
    comes: &'a Strips<S>,
}

impl<const S: usize> WithSimd for Replace<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) {
        let Replace { sorted, goes, comes } = self;
        for (strip, part) in (0..S).flat_map(|strip| parts::<V>().map(move |part| (strip, part))) {
            let vector = |row: &Strips<S>| vectors::<V>(&row[strip])[part];
            let (goes, comes) = (vector(goes), vector(comes));
            let [mut before, infinity] =
                [f32::NEG_INFINITY, f32::INFINITY].map(|value| simd.splat_f32s(value));
            let mut put = |row: &mut Strips<S>, after: V::f32s| {
                let here = &mut vectors_mut::<V>(&mut row[strip])[part];
                // Without the value that goes, from its place on each is the next one.
                let stays = simd.select_f32s(simd.less_than_f32s(*here, goes), *here, after);
                *here = simd.max_f32s(before, simd.min_f32s(comes, stays));
                before = stays;
            };
            let mut rows = sorted.iter_mut();
            let Some(mut row) = rows.next() else { return };
            for next in rows {
                put(row, vector(next));
                row = next;
            }
            put(row, infinity);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::near_median::mean_near_median;
    use super::*;

    proptest! {
        #[test]
        fn each_mean_is_that_of_its_selection_alone(
            rows in vec(vec(prop_oneof![-1.0..1.0_f32, Just(0.0), Just(-0.0)], 2 * LANES + 1), 12),
            shuffled in vec(Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(), 0..4),
            size in 1..=12_usize,
            count in 1..=12_usize,
        ) {
            // Some at will, and the first rows without each of them.
            let without = |row: usize| (0..=size).filter(|other| *other != row).collect();
            let common: Vec<Vec<usize>> = if size < 12 { (0..=size).map(without).collect() } else { Vec::new() };
            let selections: Vec<&[usize]> = shuffled.iter().chain(&common).map(|rows| &rows[..size]).collect();
            let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let updates = Updates::new(&slices, None).unwrap();
            let count = count.min(size);
            let mut means = Vec::new();
            means_near_medians(&updates, &selections, count, &mut means);
            let alone = |rows: &&[usize]| {
                updates.of_rows(rows, |updates| Ok(mean_near_median(updates, count))).unwrap()
            };
            prop_assert_eq!(means, selections.iter().map(alone).collect::<Vec<_>>());
        }
    }
}
