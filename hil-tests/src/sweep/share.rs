//! A part of a grid, for one of several machines.

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
    fn new(index: usize, count: usize) -> Option<Self> {
        (1..=count).contains(&index).then_some(Share { index, count })
    }

    /// The share that a Slurm array task (`SLURM_ARRAY_TASK_ID` from `SLURM_ARRAY_TASK_MIN`, of
    /// `SLURM_ARRAY_TASK_COUNT`) or a Kubernetes indexed Job (`JOB_COMPLETION_INDEX`, and `JOB_COMPLETIONS` set by
    /// the manifest) is to do, as `variable` reads the environment.
    pub fn from_scheduler(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name)?.parse::<usize>().ok();
        let slurm = || {
            let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or(1);
            let index = number("SLURM_ARRAY_TASK_ID")?.checked_sub(first)? + 1;
            Share::new(index, number("SLURM_ARRAY_TASK_COUNT")?)
        };
        let kubernetes = || Share::new(number("JOB_COMPLETION_INDEX")? + 1, number("JOB_COMPLETIONS")?);
        slurm().or_else(kubernetes)
    }

    /// The cells of this share: every `count`-th, so that expensive regions of a grid spread over all.
    pub fn of(self, cells: Vec<Cell>) -> Vec<Cell> {
        let mine = |position: usize| position % self.count == self.index - 1;
        cells.into_iter().enumerate().filter(|(position, _)| mine(*position)).map(|(_, cell)| cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(variables: &[(&str, &str)]) -> Option<Share> {
        let find =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Share::from_scheduler(find)
    }

    #[test]
    fn shares_are_counted_from_one() {
        assert_eq!("3/8".parse(), Ok(Share { index: 3, count: 8 }));
        for wrong in ["0/8", "9/8", "3", "a/b", "1/0"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_schedulers_are_read() {
        let slurm =
            [("SLURM_ARRAY_TASK_ID", "5"), ("SLURM_ARRAY_TASK_MIN", "4"), ("SLURM_ARRAY_TASK_COUNT", "3")];
        assert_eq!(scheduler(&slurm), Some(Share { index: 2, count: 3 }));
        let kubernetes = [("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "4")];
        assert_eq!(scheduler(&kubernetes), Some(Share { index: 1, count: 4 }));
        assert_eq!(scheduler(&[]), None);
        assert_eq!(scheduler(&[("SLURM_ARRAY_TASK_ID", "9"), ("SLURM_ARRAY_TASK_COUNT", "3")]), None);
    }
}
