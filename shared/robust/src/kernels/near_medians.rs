//! Bulyan's second stage for many selections that differ little, as those do that leave out one update or another.

use std::array;

use pulp::{Arch, Simd, WithSimd};

use super::ahead::Ahead;
use super::columns::{Statistic, Strips, map_columns};
use super::near_median::average;
use super::one_less::OneLess;
use super::sorting::SortingNetwork;
use super::steps::{Lacking, Step, Way, steps};
use crate::Updates;
use simd::{Lanes, parts, vectors, vectors_mut};

/// For each of the selections, all of one size, what [`mean_near_median`](super::near_median::mean_near_median) gives. They
/// are of fewer rows than there are.
pub(crate) fn means_near_medians(
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

/// Selections from the same rows that are averaged one by one; of more, it is faster to know all at once.
const DIRECTLY: usize = 5;

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
        let (mut sorted, mut rest): (Vec<Strips<S>>, Vec<Strips<1>>) = (Vec::new(), Vec::new());
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
            let one_less: [Option<OneLess>; S] = if selections.len() > DIRECTLY {
                array::from_fn(|strip| OneLess::of(&sorted, strip, self.count))
            } else {
                array::from_fn(|_| None)
            };
            for Lacking { row, places } in selections {
                let mut means = [Lanes::ZERO; S];
                for (strip, mean) in means.iter_mut().enumerate() {
                    let value = &columns[*row][strip];
                    *mean = if let Some(one_less) = &one_less[strip] {
                        one_less.mean_without(value, self.count)
                    } else {
                        Arch::new().dispatch(Without { sorted: &sorted, strip, value, rest: &mut rest });
                        average(&rest, 0, self.count)
                    };
                }
                for place in places {
                    results[*place] = means;
                    (0..S).for_each(|_| ahead.fetch_line());
                }
            }
        }
    }
}

/// Leaves one value of each lane of a strip out, which is there.
struct Without<'a, const S: usize> {
    sorted: &'a [Strips<S>],
    strip: usize,
    value: &'a Lanes,
    /// The others, sorted.
    rest: &'a mut Vec<Strips<1>>,
}

impl<const S: usize> WithSimd for Without<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) {
        let Without { sorted, strip, value, rest } = self;
        rest.resize(sorted.len() - 1, [Lanes::ZERO]);
        for (rest, pair) in rest.iter_mut().zip(sorted.windows(2)) {
            for part in parts::<V>() {
                let [value, here, next] =
                    [value, &pair[0][strip], &pair[1][strip]].map(|lanes| vectors::<V>(lanes)[part]);
                let is_before = simd.less_than_f32s(here, value);
                vectors_mut::<V>(&mut rest[0])[part] = simd.select_f32s(is_before, here, next);
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
    use crate::properties::matrix;
    use simd::LANES;

    /// That of each selection alone.
    fn one_by_one(updates: &Updates<'_>, selections: &[Vec<usize>], count: usize) -> Vec<Vec<f32>> {
        let mean =
            |rows: &Vec<usize>| updates.of_rows(rows, |rows| Ok(mean_near_median(rows, count))).unwrap();
        selections.iter().map(mean).collect()
    }

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
            prop_assert_eq!(means, one_by_one(&updates, &selections, count));
        }

        #[test]
        fn many_selections_of_the_same_rows_without_one_are_averaged_alike(
            rows in (9..20_usize).prop_flat_map(|rows| vec(vec(-1.0..1.0_f32, 2 * LANES + 1), rows)),
            count in 1..20_usize,
            scale in prop_oneof![Just(1.0_f32), Just(1e-20)],
        ) {
            let all: Vec<usize> = (0..rows.len()).collect();
            let selections: Vec<Vec<usize>> =
                all.iter().map(|left_out| all.iter().copied().filter(|row| row != left_out).collect()).collect();
            let count = count.min(rows.len() - 1);
            // On some scales, values of one row vanish beside the others.
            let mut rows = rows;
            rows[0].iter_mut().for_each(|value| *value *= scale);
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let updates = Updates::new(&rows, None).unwrap();
            let mut means = Vec::new();
            means_near_medians(&updates, &selections, count, &mut means);
            prop_assert_eq!(means, one_by_one(&updates, &selections, count));
        }
    }
}
