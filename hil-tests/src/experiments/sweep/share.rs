//! A part of a grid, for one of several machines.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::Cell;

/// The `index`-th of `count` parts, counted from 1, written `index/count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: usize,
    count: usize,
}

/// A text that is no share.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no part of a sweep; expected I/N with 1 <= I <= N, as in 3/8")]
pub struct InvalidShare(String);

impl FromStr for Share {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (index, count) = text.split_once('/')?;
            Share::new(index.parse().ok()?, count.parse().ok()?)
        };
        parse().ok_or_else(|| InvalidShare(text.to_owned()))
    }
}

impl Share {
    pub(super) fn new(index: usize, count: usize) -> Option<Self> {
        (1..=count).contains(&index).then_some(Share { index, count })
    }

    /// The cells of this share: every `count`-th, so that expensive regions of a grid spread over all. A cell that
    /// stands in the grid several times is in one share only.
    pub fn of(self, cells: Vec<Cell>) -> Vec<Cell> {
        let mut positions = HashMap::new();
        let mine = |cell: &Cell| {
            let next = positions.len();
            *positions.entry(cell.scenario.digest()).or_insert(next) % self.count == self.index - 1
        };
        cells.into_iter().filter(mine).collect()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use scenario::Scenario;

    use super::*;

    #[test]
    fn shares_are_counted_from_one() {
        assert_eq!("3/8".parse(), Ok(Share { index: 3, count: 8 }));
        for wrong in ["0/8", "9/8", "3", "a/b", "1/0"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_cell_is_in_one_share_however_often_it_stands_in_the_grid() {
        let cells: Vec<Cell> = [1, 2, 1, 3, 2, 4, 5].map(cell).into();
        let seeds = |share: &str| -> Vec<u64> {
            let share: Share = share.parse().unwrap();
            share.of(cells.clone()).iter().map(|cell| cell.scenario.seed).collect()
        };
        assert_eq!(seeds("1/1"), [1, 2, 1, 3, 2, 4, 5]);
        assert_eq!(seeds("1/2"), [1, 1, 3, 5]);
        assert_eq!(seeds("2/2"), [2, 2, 4]);
        assert_eq!(seeds("8/8"), [0; 0], "more parts than cells");
    }

    fn cell(seed: u64) -> Cell {
        let text = "name = \"s\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n[fleet]\ndevices = 5\ncompromised = 1\n";
        let scenario = Scenario::parse("s.toml", text, &[format!("seed={seed}")]).unwrap();
        Cell { labels: Vec::new(), scenario: Arc::new(scenario) }
    }
}
