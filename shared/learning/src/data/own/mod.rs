//! Data sets of the user's own, in files of the usual forms.
//!
//! # Layout
//! Each knows those before it, and none after it.
//! - [`labels`]: classes by the names that stand in a file.
//! - [`columns`]: the columns of a table by name or number, and what they hold.
//! - [`found`]: examples as a file has them, whatever its form.
//! - [`rows`]: the rows of a table, one after the other.
//! - [`text`], [`arrays`], [`idx`], [`pictures`], [`parquet`]: tables of comma-separated values, numpy's arrays and safetensors, IDX,
//!   folders of PNG and JPEG, and Parquet. The last two are features of this crate: a client for boards does without.
//! - [`reading`]: what a scenario says of how a file is read.
//! - [`form`]: which form a file is of.
//! - [`split`]: training and test part, missing values and standardisation.
//! - [`own_file`]: the settings, and the data set.
//! - [`imported`]: examples of a device's own, and [`on_devices`]: data that lie there.
//! - [`description`]: what a file would become.

mod arrays;
mod columns;
mod description;
mod form;
mod found;
mod idx;
mod imported;
mod labels;
mod on_devices;
mod own_file;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "pictures")]
mod pictures;
mod reading;
mod rows;
mod split;
#[cfg(test)]
mod tests;
mod text;

pub use columns::{Column, Missing};
pub use description::Description;
pub use imported::Imported;
pub use on_devices::{Misfit, OnDevices};
pub use own_file::OwnFile;
pub use reading::Reading;
pub use split::TestPart;

use std::error::Error;

/// The folder of such files among the data sets.
const FOLDER: &str = "own";

/// What is wrong with a file.
type Wrong = Box<dyn Error + Send + Sync>;
