//! Models and the data that they learn from, on candle.
//!
//! # Layout
//! The lowest first: a module knows those before it in this list, and none after it.
//!
//! - [`random`]: the seeded streams that every random draw comes from.
//! - [`parameters`]: a model as one flat `f32` vector with a named layout.
//! - [`data`]: data sets, their partition over devices, and shard files.
//! - [`models`]: the trainable models, behind one trait.
//! - [`training`], [`evaluation`]: local gradient descent, and how good its outcome is.
//!
//! Nothing here opens a socket, reads a clock or draws unseeded randomness. Readers take bytes; the only functions that touch
//! the file system are the `load` conveniences next to them.

pub mod data;
pub mod evaluation;
pub mod models;
pub mod parameters;
pub mod random;
pub mod training;
