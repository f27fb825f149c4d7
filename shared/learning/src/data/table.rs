//! Errors in tables of comma-separated values.

use std::error::Error;
use std::io;

use super::DatasetError;

/// Why bytes are not the table that was expected.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Damaged compression.
    #[error("cannot be decompressed: {0}")]
    Gzip(#[from] io::Error),
    /// Not a CSV text.
    #[error("not a table of comma-separated values: {0}")]
    Csv(#[from] csv::Error),
    /// A line that is none of the table's.
    #[error("line {line}: {cause}")]
    Line {
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// Another text altogether, or rows missing or added.
    #[error("{0}")]
    Whole(String),
    /// Values that make no data set.
    #[error("the table makes no data set: {0}")]
    Dataset(#[from] DatasetError),
}

impl TableError {
    /// That something is wrong with a line.
    pub(super) fn line(line: u64, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        TableError::Line { line, cause: cause.into() }
    }
}
