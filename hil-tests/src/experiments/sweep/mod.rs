//! Many runs: a grid over scenario keys, in parallel on all cores, each cell a run directory of its own.
//!
//! A cell is named by the digest of its resolved scenario. So a sweep that was interrupted resumes without repeating what is
//! finished, parts of it can be run on different machines ([`Share`]) and joined, and sweeps share the cells that they have in
//! common.

mod cell;
mod grid;
mod merge;
mod pool;
mod results;
mod scheduler;
mod share;

pub use cell::Cell;
pub use grid::{Grid, GridError};
pub(super) use grid::{MOST_CELLS, repeated};
pub use merge::merge;
pub use pool::{Finished, Pool, Results};
pub use results::{to_csv, write_csv};
pub use scheduler::UnclearShare;
pub use share::{InvalidShare, Share};
