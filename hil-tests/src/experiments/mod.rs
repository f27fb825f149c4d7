//! Runs that belong together, and their results.
//!
//! # Layout
//! Each knows those before it, and none after it.
//! - [`statistics`]: mean and spread of what repeated runs end in.
//! - [`agreement`]: how far the results of benches differ.
//! - [`demo`]: the experiment of the README's first command.
//! - [`sweep`]: many runs, as a grid over scenario keys.
//! - [`matrix`]: attacks by defenses.
//! - [`paper`]: the tables and figures of the paper.

pub mod agreement;
pub mod demo;
pub mod matrix;
pub mod paper;
pub mod statistics;
pub mod sweep;
