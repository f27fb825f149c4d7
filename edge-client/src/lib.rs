//! One device of a fleet: it trains on its own shard, sends updates over MQTT and, only where the scenario designates it,
//! attacks.
//!
//! # Layout
//! - [`agent`]: what the device sends and when, as a state machine without I/O.
//! - [`worker`]: what the device computes: local training, and the crafting of poisoned models.
//! - [`memory`]: what attack and training keep from round to round, also over a restart.
//! - [`shard`]: what the device trains on; [`import`]: making that of its own data.
//! - [`telemetry`]: what the board measures of itself.
//! - [`config`]: the settings, from a file, the environment and flags.
//! - [`client`]: joins agent, worker and board to [`link::drive()`], the loop of both programs.

pub mod agent;
mod attack_log;
pub mod client;
pub mod config;
mod echo;
pub mod import;
pub mod memory;
mod program;
pub mod shard;
pub mod telemetry;
pub mod worker;

pub use program::main;
