//! From one selection to the next.

use std::collections::BTreeMap;

/// Values that are replaced one by one in a sorted column; to sort it anew is faster than to replace more.
const FEW: usize = 4;

/// One of the selections.
pub(super) struct Step {
    pub(super) way: Way,
    /// Its places among all: without one or another of those that are not selected, it is the same.
    pub(super) places: Vec<usize>,
}

/// How to come to the sorted columns of a selection.
pub(super) enum Way {
    /// Take its rows and sort them.
    Sort(Vec<usize>),
    /// From those of the one before, replace rows: each that goes by one that comes.
    Replace(Vec<(usize, usize)>),
}

/// The different ones of `selections`, in an order in which each is near the one before.
pub(super) fn steps(selections: &[Vec<usize>]) -> Vec<Step> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_gone_through_from_near_to_near() {
        let selections = [
            [0, 1, 2, 50, 51],
            [7, 8, 9, 10, 129],
            [0, 1, 3, 50, 51],
            [0, 1, 2, 50, 51],
            [2, 3, 0, 50, 51],
            [0, 11, 12, 13, 14],
        ]
        .map(Vec::from);
        let ways = steps(&selections).into_iter().map(|step| match step.way {
            Way::Sort(rows) => (rows, vec![], step.places),
            Way::Replace(rows) => (vec![], rows, step.places),
        });
        let expected = [
            (vec![7, 8, 9, 10, 129], vec![], vec![1]),
            (vec![0, 2, 3, 50, 51], vec![], vec![4]),
            (vec![], vec![(2, 1)], vec![2]),
            (vec![], vec![(3, 2)], vec![0, 3]),
            (vec![], vec![(1, 11), (2, 12), (50, 13), (51, 14)], vec![5]),
        ];
        assert_eq!(ways.collect::<Vec<_>>(), expected);
    }
}
