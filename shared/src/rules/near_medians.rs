//! Bulyan's second stage for many selections that differ little, as those do that leave out one update or another.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::Updates;
use super::ahead::Ahead;
use super::columns::{Statistic, Strips, map_columns};
use super::near_median::{Sorted, average};
use super::sorting::SortingNetwork;
use super::steps::{Lacking, Step, Way, steps};
use crate::simd::{Lanes, parts, vectors, vectors_mut};

/// For each of the selections, all of one size, what [`mean_near_median`](super::near_median::mean_near_median) gives. They
/// are of fewer rows than there are.
pub(super) fn means_near_medians(
    updates: &Updates<'_>,
    selections: &[Vec<usize>],
    count: usize,
    means: &mut Vec<Vec<f32>>,
) {
    let network = SortingNetwork::new(selections.first().map_or(0, |rows| rows.len() + 1), |_| true);
    let (steps, results) = (steps(selections, updates.len()), selections.len());
    let statistic = MeansNearMedians { steps, results, network, count };
    map_columns(updates, &statistic, means);
}

struct MeansNearMedians {
    steps: Vec<Step>,
    results: usize,
    /// For one row more than selections have.
    network: SortingNetwork,
    count: usize,
}

impl Statistic for MeansNearMedians {
    fn results(&self) -> usize {
        self.results
    }

    #[inline(always)]
    fn compute<const S: usize>(
        &self,
        columns: &mut [Strips<S>],
        results: &mut [Strips<S>],
        mut ahead: Ahead<'_>,
    ) {
        let mut sorted: Vec<Strips<S>> = Vec::new();
        for Step { way, selections } in &self.steps {
            match way {
                Way::Sort(rows) => {
                    sorted.clear();
                    sorted.extend(rows.iter().map(|row| columns[*row]));
                    self.network.sort(&mut sorted, Ahead::default());
                }
                Way::Replace(rows) => {
                    for &(goes, comes) in rows {
                        let [goes, comes] = [goes, comes].map(|row| &columns[row]);
                        Arch::new().dispatch(Replace { sorted: &mut sorted, goes, comes });
                    }
                }
            }
            for Lacking { row, places } in selections {
                let mut means = [Lanes::ZERO; S];
                average(Without { sorted: &sorted, value: &columns[*row] }, self.count, &mut means);
                for place in places {
                    results[*place] = means;
                    (0..S).for_each(|_| ahead.fetch_line());
                }
            }
        }
    }
}

/// Sorted columns without one value each, which is there.
struct Without<'a, const S: usize> {
    sorted: &'a [Strips<S>],
    value: &'a Strips<S>,
}

impl<const S: usize> Sorted for Without<'_, S> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.sorted.len() - 1
    }

    #[inline(always)]
    fn values<V: Simd>(&self, simd: V, strip: usize, places: Range<usize>) -> impl Iterator<Item = Lanes> {
        let next = &self.sorted[places.start + 1..=places.end];
        let rows = self.sorted[places].iter().zip(next);
        rows.map(move |(here, next)| before(simd, &self.value[strip], &here[strip], &next[strip]))
    }

    #[inline(always)]
    fn value<V: Simd>(&self, simd: V, strip: usize, place: usize) -> Lanes {
        before(simd, &self.value[strip], &self.sorted[place][strip], &self.sorted[place + 1][strip])
    }
}

/// The values `here` where they stand before those which are left out, and elsewhere the `next` ones.
#[inline(always)]
fn before<V: Simd>(simd: V, left_out: &Lanes, here: &Lanes, next: &Lanes) -> Lanes {
    let mut values = Lanes::ZERO;
    for part in parts::<V>() {
        let [left_out, here, next] = [left_out, here, next].map(|lanes| vectors::<V>(lanes)[part]);
        let is_before = simd.less_than_f32s(here, left_out);
        vectors_mut::<V>(&mut values)[part] = simd.select_f32s(is_before, here, next);
    }
    values
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
    use super::super::properties::matrix;
    use super::*;

    proptest! {
        #[test]
        fn each_mean_is_that_of_its_selection_alone(
            rows in matrix(12..20),
            selections in vec(Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(), 1..9),
            values in 1..12_usize,
            count in 1..12_usize,
        ) {
            let selections: Vec<Vec<usize>> = selections.iter().map(|rows| rows[..values].to_vec()).collect();
            let count = count.min(values);
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let updates = Updates::new(&rows, None).unwrap();
            let mut means = vec![vec![f32::NAN; rows[0].len()]];
            means_near_medians(&updates, &selections, count, &mut means);
            prop_assert_eq!(means.len(), selections.len());
            for (mean, selection) in means.iter().zip(&selections) {
                prop_assert_eq!(mean, &mean_near_median(&updates, selection, count).unwrap());
            }
        }
    }
}
