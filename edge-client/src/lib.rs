//!
//! # Layout
//! - [`agent`]: what the device says and when, as a state machine without I/O.
//! - [`worker`]: what the device computes: local training, and crafting of poisoned models.
//! - [`telemetry`]: what the board tells of itself.
//! - [`config`]: where the binary takes its settings from.
//! - [`client`]: joins agent, worker, board, MQTT and the clock.

pub mod agent;
mod attack_log;
pub mod attack_memory;
pub mod client;
pub mod config;
mod echo;
mod program;
pub mod telemetry;
pub mod worker;

pub use program::main;
