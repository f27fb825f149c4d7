//! Attacks by defenses: every attack against every defense, and the worst of each defense.
//!
//! A matrix is a scenario file with two more lists ([`Matrix`]). [`sweep`](crate::experiments::sweep) runs the cells, so that a
//! matrix that was interrupted resumes; [`Outcome`] is what came of them, as text, as CSV, as a page and as heat maps.

mod file;
mod outcome;
mod page;
mod schema;

pub use file::Matrix;
pub use outcome::Outcome;
pub use schema::schema;
