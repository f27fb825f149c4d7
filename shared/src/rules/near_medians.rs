//! Bulyan's second stage for many selections that differ little, as those do that leave out one update or another.

use std::collections::BTreeMap;
use std::mem;

use pulp::{Arch, Simd, WithSimd};

use super::Updates;
use super::ahead::Ahead;
use super::columns::{Statistic, Strips, map_columns};
use super::near_median::average;
use super::sorting::SortingNetwork;
use crate::simd::{Lanes, parts, vectors, vectors_mut};

/// Values that are replaced one by one in a sorted column; to sort it anew is faster than to replace more.
const FEW: usize = 4;

/// For each of the selections, all of one size, what [`mean_near_median`](super::near_median::mean_near_median) gives.
pub(super) fn means_near_medians(
    updates: &Updates<'_>,
    selections: &[Vec<usize>],
    count: usize,
    means: &mut Vec<Vec<f32>>,
) {
    let values = selections.first().map_or(0, Vec::len);
    let network = SortingNetwork::new(values, |_| true);
    let (steps, results) = (steps(selections), selections.len());
    let statistic = MeansNearMedians { steps, results, values, network, count };
    map_columns(updates, &statistic, means);
}

struct MeansNearMedians {
    steps: Vec<Step>,
    results: usize,
    /// Rows of a selection.
    values: usize,
    network: SortingNetwork,
    count: usize,
}

/// One of the selections.
struct Step {
    way: Way,
    /// Its places among all: without one or another of those that are not selected, it is the same.
    places: Vec<usize>,
}

/// How to come to the sorted columns of a selection.
enum Way {
    /// Take its rows and sort them.
    Sort(Vec<usize>),
    /// From those of the one before, replace rows: each that goes by one that comes.
    Replace(Vec<(usize, usize)>),
}

/// The different ones of `selections`, in an order in which each is near the one before.
fn steps(selections: &[Vec<usize>]) -> Vec<Step> {
    let mut places: BTreeMap<Set, Vec<usize>> = BTreeMap::new();
    for (place, selection) in selections.iter().enumerate() {
        places.entry(Set::of(selection)).or_default().push(place);
    }
    let mut left: Vec<(Set, Vec<usize>)> = places.into_iter().collect();
    let mut steps = Vec::new();
    let mut here = Set::default();
    while let Some(next) = (0..left.len()).min_by_key(|&next| here.difference(&left[next].0)) {
        let (there, places) = left.swap_remove(next);
        let replaced: Vec<(usize, usize)> = here.without(&there).zip(there.without(&here)).collect();
        let way = if steps.is_empty() || replaced.len() > FEW {
            Way::Sort(there.without(&Set::default()).collect())
        } else {
            Way::Replace(replaced)
        };
        steps.push(Step { way, places });
        here = there;
    }
    steps
}

/// Rows, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Set(Vec<u64>);

impl Set {
    fn of(rows: &[usize]) -> Self {
        let mut words = vec![0; rows.iter().max().map_or(0, |most| most / 64 + 1)];
        for row in rows {
            words[row / 64] |= 1 << (row % 64);
        }
        Set(words)
    }

    fn word(&self, word: usize) -> u64 {
        self.0.get(word).copied().unwrap_or(0)
    }

    /// How many rows are in one of the two.
    fn difference(&self, other: &Set) -> u32 {
        let words = 0..self.0.len().max(other.0.len());
        words.map(|word| (self.word(word) ^ other.word(word)).count_ones()).sum()
    }

    /// The rows that are not in the other, in ascending order.
    fn without(&self, other: &Set) -> impl Iterator<Item = usize> {
        let words = (0..self.0.len()).map(|word| (64 * word, self.word(word) & !other.word(word)));
        words.flat_map(|(first, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| first + bit)
        })
    }
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
        let mut sorted = vec![[Lanes::ZERO; S]; self.values];
        for Step { way, places } in &self.steps {
            match way {
                Way::Sort(rows) => {
                    for (value, row) in sorted.iter_mut().zip(rows) {
                        *value = columns[*row];
                    }
                    self.network.sort(&mut sorted, mem::take(&mut ahead));
                }
                Way::Replace(rows) => {
                    for &(goes, comes) in rows {
                        let [goes, comes] = [goes, comes].map(|row| &columns[row]);
                        Arch::new().dispatch(Replace { sorted: &mut sorted, goes, comes });
                    }
                }
            }
            let mut means = [Lanes::ZERO; S];
            average(&sorted, self.count, &mut means);
            for place in places {
                results[*place] = means;
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
    use super::super::properties::matrix;
    use super::*;

    #[test]
    fn selections_are_gone_through_from_near_to_near() {
        let selections = [[0, 1, 2], [7, 8, 129], [0, 1, 3], [0, 1, 2], [2, 3, 0]].map(Vec::from);
        let ways = steps(&selections).into_iter().map(|step| match step.way {
            Way::Sort(rows) => (rows, vec![], step.places),
            Way::Replace(rows) => (vec![], rows, step.places),
        });
        let expected = [
            (vec![0, 1, 2], vec![], vec![0, 3]),
            (vec![], vec![(2, 3)], vec![2]),
            (vec![], vec![(1, 2)], vec![4]),
            (vec![], vec![(0, 7), (2, 8), (3, 129)], vec![1]),
        ];
        assert_eq!(ways.collect::<Vec<_>>(), expected);
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
            let mut means = Vec::new();
            means_near_medians(&updates, &selections, count, &mut means);
            for (mean, selection) in means.iter().zip(&selections) {
                prop_assert_eq!(mean, &mean_near_median(&updates, selection, count).unwrap());
            }
        }
    }
}
