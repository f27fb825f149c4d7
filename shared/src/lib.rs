//! What both ends of the wire must agree on.
//!
//! # Layout
//! The lowest first: a module knows those before it in this list, and none after it.
//!
//! - [`random`]: the seeded streams that every random draw comes from.
//! - [`parameters`]: a model as one flat `f32` vector with a named layout.
//! - [`advice`]: what to do about an error of the operating system.
//! - [`toml_file`]: files that people write, and what can be wrong with one; [`unfit`]: settings that cannot be.
//! - [`registry`]: things of one sort by their names, with their settings.
//! - [`data`]: data sets, their partition over devices, and shard files.
//! - [`models`]: the trainable models, behind one trait.
//! - [`training`], [`evaluation`]: local gradient descent, and how good its outcome is.
//! - [`remembered`]: what a run keeps from round to round beside the global model.
//! - [`tensor_executor`]: rules of updates that are the rows of a tensor.
//! - [`attacks`], [`defense`]: what compromised devices do, and what keeps harmful updates from the rule.
//! - [`catalogue`]: the models, rules, stages, attacks, data sets and partitions that there are.
//! - [`scenario`]: the one file that says everything about a run.
//! - [`attack_record`]: what compromised devices did in a round, as a bench tells it.
//!
//! Crates of their own, which know nothing of learning, are [`wire`], with the names of [`identity`], and the aggregation
//! [`rules`], which are `robust`.
//!
//! Nothing here opens a socket, reads a clock or draws unseeded randomness. Readers take bytes; the
//! only functions that touch the file system are the `load` conveniences next to them, and [`toml_file::read`].
//! [`advice`] asks for this process's limits.

pub mod advice;
pub mod attack_record;
pub mod attacks;
pub mod catalogue;
pub mod data;
pub mod defense;
pub mod evaluation;
pub mod models;
pub mod parameters;
pub mod random;
pub mod registry;
pub mod remembered;
pub mod scenario;
pub mod tensor_executor;
pub mod toml_file;
pub mod training;
pub mod unfit;

pub use robust as rules;
pub use wire::{self, identity};
