//! Data: that of a scenario, and whole data sets.
//!
//! # Layout
//! - `fleet_data.rs`: [`FleetData`], the data of a scenario, and each device's shard of it.
//! - [`datasets`]: listing and fetching data sets.

pub mod datasets;
mod fleet_data;

pub use fleet_data::{DataKey, FleetData, FleetDataError};
