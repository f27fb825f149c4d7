//! The rules, one in each file.

mod bulyan;
mod krum;
mod mean;
mod median;
mod trimmed_mean;

pub use bulyan::Bulyan;
pub use krum::Krum;
pub use mean::Mean;
pub use median::Median;
pub use trimmed_mean::TrimmedMean;
