//! Data sets of the user's own, in files of the usual forms.
//!
//! # Layout
//! Each knows those before it, and none after it.
//! - [`split`]: training and test part, missing values and standardisation.
//! - [`own_file`]: the settings, and the data set.
//! - [`description`]: what a file would become.
//!
//! The files themselves are read by the crate [`formats`].

mod description;
mod own_file;
mod split;
#[cfg(test)]
mod tests;

pub use description::Description;
pub use own_file::OwnFile;
pub use split::TestPart;
