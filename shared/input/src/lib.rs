//! What people write, and what can be wrong with it.
//!
//! # Layout
//! - [`advice`]: what to do about an error of the operating system; it asks for this process's limits.
//! - [`files`]: files that are replaced as a whole.
//! - [`toml_file`]: files that people write, and what can be wrong with one.
//! - [`chosen`]: what is chosen by a name, with its settings.
//! - [`unfit`]: settings that cannot be.

pub mod advice;
pub mod chosen;
pub mod files;
pub mod toml_file;
pub mod unfit;
