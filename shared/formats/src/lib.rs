//! Labelled examples in files of the usual forms: tables, arrays, IDX, pictures.
//!
//! # Layout
//! The lowest first: a module knows those before it in this list, and none after it.
//!
//! - [`gzip`]: files that may be compressed.
//! - [`labels`]: classes by the names that stand in a file.
//! - [`columns`]: the columns of a table by name or number, and what they hold.
//! - [`found`]: examples as a file has them, whatever its form.
//! - [`rows`]: the rows of a table, one after the other.
//! - [`text`], [`idx`], [`arrays`], [`pictures`], [`pages`], [`parquet`]: tables of comma-separated values, IDX, numpy's arrays
//!   and safetensors, folders of PNG and JPEG, and Parquet. The last two are features of this crate: a client for boards does
//!   without.
//! - [`reading`]: what a scenario says of how a file is read.
//! - [`form`]: which form a file is of.
//!
//! Nothing here learns: this crate is built without candle, and fuzzed as it stands.

#![allow(rustdoc::private_intra_doc_links, reason = "a test reads the order of the modules from their links")]

mod arrays;
mod columns;
mod form;
mod found;
pub mod gzip;
mod idx;
mod labels;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "pictures")]
mod pictures;
mod reading;
mod rows;
mod text;

pub use columns::{Column, Missing};
pub use form::Form;
pub use found::Found;
pub use idx::{IdxError, read_idx};
pub use labels::Labels;
pub use reading::Reading;

use std::error::Error;

/// What is wrong with a file.
pub type Wrong = Box<dyn Error + Send + Sync>;
