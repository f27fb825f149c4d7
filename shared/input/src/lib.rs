//! Files and settings that people write, and the errors about them.
//!
//! # Layout
//! - [`advice`]: what to do about an error of the operating system; it looks up this process's limits.
//! - [`files`]: files that are replaced as a whole.
//! - [`toml_file`]: reading TOML files; every kind of file reports its errors in the same way.
//! - [`npy`]: arrays of numbers.
//! - [`chosen`]: something chosen by name, with its settings.
//! - [`unfit`]: settings that cannot work.

pub mod advice;
pub mod chosen;
pub mod files;
pub mod npy;
pub mod toml_file;
pub mod unfit;
