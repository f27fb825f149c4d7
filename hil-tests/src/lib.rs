//! The bench: it runs a scenario in software, or with real clients over a real broker, wherever they are, and reports.
//!
//! # Layout
//! By subject; each knows those before it, and none after it.
//! - [`system`]: this machine: starting programs, ending them, their output; ports; requests to stop.
//! - [`terminal`]: what a user sees: progress and tables.
//! - [`arrays`]: rules and attacks on arrays of the user's own.
//! - [`data`]: the data of a scenario and each device's shard of it; listing and fetching data sets.
//! - [`fleet`]: devices: boards and their processors, the inventory, and bringing everything onto them.
//! - [`faults`]: what goes wrong between real processes, on purpose.
//! - [`benches`]: where a scenario runs: in software, as a batch, as processes, emulated, on boards.
//! - [`experiments`]: runs that belong together: the demo, sweeps, the paper, the agreement of benches.
//! - [`exports`]: runs in the formats of other tools.
//! - [`cases`]: hardware tests as data.
//! - [`cli`]: the command line of `hil`, one file for each command.

pub mod arrays;
pub mod benches;
pub mod cases;
pub mod cli;
pub mod data;
pub mod experiments;
pub mod exports;
pub mod faults;
pub mod fleet;
pub mod system;
pub mod terminal;

pub use cli::{main, main_within};
