//! The paper's tables and figures (Fang et al., USENIX Security 2020), reproduced.
//!
//! An [`Experiment`] is data: rows, columns, and for each cell the settings of a scenario and the paper's figure. A new
//! one is one function in `tables.rs` or `figures.rs` and one line in [`all`]. Cells are run by
//! [`sweep`](crate::sweep), so that an experiment that was interrupted goes on, and experiments share what they have
//! in common.

mod experiment;
mod figures;
mod page;
mod tables;

pub use experiment::{Case, Experiment, Line, Options, Reproduction, Shape};
pub use page::{render, to_csv, to_text};

/// Every table and figure, in the paper's order.
pub fn all() -> Vec<Experiment> {
    let mut all = tables::all();
    all.extend(figures::all());
    all
}

/// The experiment called `id`, as in `table2a`.
pub fn find(id: &str) -> Option<Experiment> {
    all().into_iter().find(|experiment| experiment.id == id)
}
