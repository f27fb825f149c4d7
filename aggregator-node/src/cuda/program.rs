//! The text of the programs for a GPU.

use std::fmt::Write as _;

use robust::{SortingNetwork, adds_up_in_order};

/// Rows up to which a thread keeps a column in its registers: the kernels' `IN_REGISTERS`.
pub(super) const IN_REGISTERS: usize = 128;

/// Columns that a block of threads sorts in its shared memory: the most, a whole cache line of each row, and the fewest,
/// the least part of one that can be read.
const SHARED_COLUMNS: std::ops::RangeInclusive<usize> = 8..=32;

/// Bytes of shared memory that the kernels have beside the columns, for each.
const BESIDE_A_COLUMN: usize = 40;

/// What is computed from the rows of an update matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// The mean of each column.
    Mean,
    /// The median of each column.
    Median,
    /// The mean of each column without `trim` values at each end.
    TrimmedMean {
        /// Values dropped at each end.
        trim: usize,
    },
    /// The mean of the `count` values of each column nearest its median.
    MeanAroundMedian {
        /// Values averaged.
        count: usize,
    },
    /// The products of all pairs of rows, and the squared distances of some.
    Distances,
}

impl Statistic {
    /// That of a plan, if there is a kernel for it.
    pub(super) fn of(statistic: robust::Statistic) -> Option<Self> {
        match statistic {
            robust::Statistic::Median => Some(Statistic::Median),
            robust::Statistic::TrimmedMean { trim } => Some(Statistic::TrimmedMean { trim }),
            robust::Statistic::MeanNearMedian { count } => Some(Statistic::MeanAroundMedian { count }),
            robust::Statistic::MeanByMajority { .. } => None,
        }
    }
}

/// A program for a GPU, compiled for a number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    /// What it computes.
    pub statistic: Statistic,
    /// Rows of the matrix (the paper's m).
    pub rows: usize,
    /// Whether it computes the statistic for each row of all others.
    pub leave_one_out: bool,
}

/// How many threads take how many columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Threads of a block, in two dimensions.
    pub threads: (u32, u32),
    /// Columns of a block.
    pub columns: u32,
    /// Bytes of shared memory that a block is given.
    pub shared_bytes: u32,
}

impl Program {
    /// The source text, in CUDA C++, for `shape`.
    pub fn source(&self, shape: Shape) -> String {
        let mut text = format!("#define N {}\n", self.rows);
        let mut define = |name: &str, value: usize| {
            let _ = writeln!(text, "#define {name} {value}");
        };
        match self.statistic {
            Statistic::TrimmedMean { trim } => {
                define("TRIM", trim);
                if !adds_up_in_order(self.rows) {
                    define("ROOM", 4 * self.rows.next_power_of_two());
                }
            }
            Statistic::MeanAroundMedian { count } => define("COUNT", count),
            Statistic::Mean | Statistic::Median | Statistic::Distances => {}
        }
        if self.leave_one_out {
            define("WITHOUT_EACH", 1);
        }
        if self.is_sorted() && self.rows > IN_REGISTERS {
            define("TOP", self.rows.next_power_of_two() / 2);
            define("COLUMNS", shape.columns as usize);
        }
        if self.is_sorted() && self.rows <= IN_REGISTERS {
            text += "#define NETWORK(EXCHANGE)";
            for (low, high) in self.network().pairs() {
                let _ = write!(text, " EXCHANGE({low}, {high})");
            }
            text += "\n";
        }
        text += include_str!("kernels/rows.cuh");
        if self.is_sorted() {
            text += include_str!("kernels/sort.cuh");
        }
        text += match self.statistic {
            Statistic::Mean => include_str!("kernels/mean.cu"),
            Statistic::Median => include_str!("kernels/median.cu"),
            Statistic::TrimmedMean { .. } => include_str!("kernels/trimmed_mean.cu"),
            Statistic::MeanAroundMedian { .. } => include_str!("kernels/bulyan.cu"),
            Statistic::Distances => include_str!("kernels/distances.cu"),
        };
        text
    }

    /// How columns are dealt out on a GPU whose blocks of threads may have `shared` bytes of shared memory; `None` if a
    /// column is too long for that. What is computed of pairs of rows has shapes of its own.
    pub fn shape(&self, shared: usize) -> Option<Shape> {
        if !self.is_sorted() || self.rows <= IN_REGISTERS {
            return Some(Shape { threads: (128, 1), columns: 128, shared_bytes: 0 });
        }
        let bytes = |columns: usize| columns * (self.rows * size_of::<f32>() + BESIDE_A_COLUMN);
        let halves = std::iter::successors(Some(*SHARED_COLUMNS.end()), |columns| Some(columns / 2));
        let mut fitting = halves.take_while(|columns| SHARED_COLUMNS.contains(columns));
        let columns = fitting.find(|&columns| bytes(columns) <= shared)?;
        Some(Shape {
            threads: (columns as u32, (512 / columns) as u32),
            columns: columns as u32,
            shared_bytes: (columns * self.rows * size_of::<f32>()) as u32,
        })
    }

    fn is_sorted(&self) -> bool {
        !matches!(self.statistic, Statistic::Mean | Statistic::Distances)
    }

    /// The network for the places that are read.
    fn network(&self) -> SortingNetwork {
        let rows = self.rows;
        let wanted = match (self.statistic, self.leave_one_out) {
            (Statistic::Median, false) => (rows - 1) / 2..=rows / 2,
            (Statistic::Median, true) => rows / 2 - 1..=rows / 2 + rows % 2,
            (Statistic::TrimmedMean { trim }, _) => trim..=rows - trim - 1,
            _ => 0..=rows - 1,
        };
        SortingNetwork::new(rows, |place| wanted.contains(&place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(rows: usize) -> Program {
        Program { statistic: Statistic::Median, rows, leave_one_out: false }
    }

    #[test]
    fn a_few_rows_are_sorted_in_registers_by_a_network() {
        let program = median(3);
        let text = program.source(program.shape(48 << 10).unwrap());
        assert!(
            text.starts_with("#define N 3\n#define NETWORK(EXCHANGE) EXCHANGE(0, 2) EXCHANGE("),
            "{text}"
        );
        assert!(text.contains("aggregate(const Rows rows"), "{text}");
    }

    #[test]
    fn many_rows_are_sorted_in_shared_memory_as_many_columns_at_a_time_as_fit() {
        let columns = |rows, shared| median(rows).shape(shared).map(|shape| shape.columns);
        assert_eq!(columns(129, 48 << 10), Some(32));
        assert_eq!(columns(1_024, 227 << 10), Some(32));
        assert_eq!(columns(1_024, 99 << 10), Some(16));
        assert_eq!(columns(1_024, 48 << 10), Some(8));
        assert_eq!(columns(10_000, 227 << 10), None);
        let text = median(1_000).source(median(1_000).shape(227 << 10).unwrap());
        assert!(text.starts_with("#define N 1000\n#define TOP 512\n#define COLUMNS 32\n//"), "{text}");
    }
}
