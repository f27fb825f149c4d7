//! The paper's tables and figures (Fang et al., USENIX Security 2020), reproduced.
//!
//! An [`Experiment`] is data: rows, columns, and for each cell the settings of a scenario and the paper's figure. A new one is
//! an entry of `experiments.toml`, which `list.rs` reads. [`sweep`](crate::experiments::sweep) runs the cells, so that an
//! experiment that was interrupted resumes, and experiments share the cells that they have in common.

mod experiment;
mod list;
mod page;

pub use experiment::{Case, Experiment, Line, Options, Reproduction, Shape};
pub use page::{render, to_csv, to_text};

/// Every table and figure, in the paper's order.
pub fn all() -> Vec<Experiment> {
    list::all()
}

/// The experiment called `id`, as in `table2a`.
pub fn find(id: &str) -> Option<Experiment> {
    all().into_iter().find(|experiment| experiment.id == id)
}
