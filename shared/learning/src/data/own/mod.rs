//! Data sets of the user's own, in files of the usual forms.
//!
//! # Layout
//! Each knows those before it, and none after it.
//! - [`split`]: training and test part, missing values and standardisation.
//! - [`own_file`]: the settings, and the data set.
//! - [`imported`]: examples of a device's own, and [`on_devices`]: data that lie there.
//! - [`description`]: what a file would become.
//!
//! The files themselves are read by the crate [`formats`].

mod description;
mod imported;
mod on_devices;
mod own_file;
mod split;
#[cfg(test)]
mod tests;

pub use description::Description;
pub use imported::Imported;
pub use on_devices::{Misfit, OnDevices};
pub use own_file::OwnFile;
pub use split::TestPart;

/// The folder of such files among the data sets.
const FOLDER: &str = "own";
