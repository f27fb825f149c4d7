//! The rules, one in each file.

mod bulyan;
mod krum;
mod meamed;
mod mean;
mod median;
mod multi_krum;
mod trimmed_mean;

pub use bulyan::Bulyan;
pub use krum::Krum;
pub use meamed::Meamed;
pub use mean::Mean;
pub use median::Median;
pub use multi_krum::MultiKrum;
pub use trimmed_mean::TrimmedMean;
