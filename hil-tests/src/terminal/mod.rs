//! What a user sees in a terminal.
//!
//! # Layout
//! - [`progress`]: how far a run is.
//! - [`table`]: results as a table.

pub mod progress;
pub mod table;
