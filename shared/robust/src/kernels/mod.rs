//! The arithmetic that carries plans out: sums, sorted columns and products of an update matrix, for vectors and threads.

pub(crate) mod columns;
pub(crate) mod combine;
pub(crate) mod distances;
pub(crate) mod gram;
pub(crate) mod mean;
pub(crate) mod means;
pub(crate) mod median;
pub(crate) mod near_median;
pub(crate) mod near_medians;
pub(crate) mod prefetch;
pub(crate) mod products;
pub(crate) mod ranks;
pub(crate) mod scores;
pub(crate) mod selection;
pub(crate) mod signs;
pub(crate) mod sorting;
pub(crate) mod tiles;
pub(crate) mod trimmed_mean;
