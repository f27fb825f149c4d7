//! From some selections to others.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Values that are replaced one by one in a sorted column; to sort it anew is faster than to replace more.
const FEW: usize = 4;

/// Rows, one more than a selection has: many selections are these without one or another.
pub(crate) struct Step {
    pub(crate) way: Way,
    pub(crate) selections: Vec<Lacking>,
}

/// How to come to the sorted columns of the rows of a step.
pub(crate) enum Way {
    /// Take the rows and sort them.
    Sort(Vec<usize>),
    /// From those of the step before, replace rows: each that goes by one that comes.
    Replace(Vec<(usize, usize)>),
}

/// One of the selections: the rows of a step without one.
#[derive(Debug, PartialEq)]
pub(crate) struct Lacking {
    pub(crate) row: usize,
    /// Its places among all: whichever update is left out of those that are not selected, it is the same.
    pub(crate) places: Vec<usize>,
}

/// Steps through all `selections`, each near the one before. They are of one size, of fewer rows than the `rows` that
/// there are.
pub(crate) fn steps(selections: &[Vec<usize>], rows: usize) -> Vec<Step> {
    let mut places: BTreeMap<Set, Vec<usize>> = BTreeMap::new();
    for (place, selection) in selections.iter().enumerate() {
        places.entry(Set::of(selection)).or_default().push(place);
    }
    let (mut steps, mut here) = (Vec::new(), Set::default());
    while let Some(nearest) = places.keys().min_by_key(|selection| selection.lacked_by(&here)) {
        let more = row_more(nearest, &here, places.keys(), rows);
        let there = nearest.with(more.expect("a selection is of fewer rows than there are"));
        let replaced: Vec<(usize, usize)> = here.without(&there).zip(there.without(&here)).collect();
        let way = if steps.is_empty() || replaced.len() > FEW {
            Way::Sort(there.without(&Set::default()).collect())
        } else {
            Way::Replace(replaced)
        };
        let is_inside = |(selection, _): &(Set, Vec<usize>)| selection.lacked_by(&there) == 0;
        let (inside, outside): (BTreeMap<_, _>, _) = places.into_iter().partition(is_inside);
        let selections = inside.into_iter().filter_map(|(selection, places)| {
            let row = there.without(&selection).next()?;
            Some(Lacking { row, places })
        });
        steps.push(Step { way, selections: selections.collect() });
        (places, here) = (outside, there);
    }
    steps
}

/// The row that, with a selection, makes the most others; of several, one that is `here` already.
fn row_more<'a>(
    selection: &Set,
    here: &Set,
    others: impl Iterator<Item = &'a Set>,
    rows: usize,
) -> Option<usize> {
    let mut lacked = vec![0; rows];
    for other in others.filter(|other| other.lacked_by(selection) == 1) {
        other.without(selection).for_each(|row| lacked[row] += 1);
    }
    let outside = (0..rows).filter(|row| !selection.has(*row));
    outside.min_by_key(|row| (Reverse(lacked[*row]), !here.has(*row)))
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

    fn has(&self, row: usize) -> bool {
        self.word(row / 64) >> (row % 64) & 1 == 1
    }

    /// These rows and one more.
    fn with(&self, row: usize) -> Set {
        let mut words = self.0.clone();
        words.resize(words.len().max(row / 64 + 1), 0);
        words[row / 64] |= 1 << (row % 64);
        Set(words)
    }

    /// How many of these rows are not in the other.
    fn lacked_by(&self, other: &Set) -> u32 {
        let words = 0..self.0.len();
        words.map(|word| (self.word(word) & !other.word(word)).count_ones()).sum()
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
        let ways = steps(&selections, 130).into_iter().map(|step| match step.way {
            Way::Sort(rows) => (rows, vec![], step.selections),
            Way::Replace(rows) => (vec![], rows, step.selections),
        });
        let lacking = |row, places: &[usize]| Lacking { row, places: places.into() };
        let expected = [
            (vec![0, 7, 8, 9, 10, 129], vec![], vec![lacking(0, &[1])]),
            (vec![], vec![(8, 11), (9, 12), (10, 13), (129, 14)], vec![lacking(7, &[5])]),
            (vec![0, 1, 2, 3, 50, 51], vec![], vec![lacking(3, &[0, 3]), lacking(2, &[2]), lacking(1, &[4])]),
        ];
        assert_eq!(ways.collect::<Vec<_>>(), expected);
    }
}
