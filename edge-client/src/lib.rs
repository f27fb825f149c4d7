//! One device: trains on its own shard and, only where the scenario designates it, attacks.
//!
//! # Layout
//! - [`agent`]: what the device says and when, as a state machine without I/O.
//! - [`worker`]: what the device computes: local training, and crafting of poisoned models.
//! - [`attacks`]: the attacks, behind one trait.
//! - [`telemetry`]: what the board tells of itself.
//! - [`config`]: where the binary takes its settings from.
//! - [`client`]: the rim that joins agent, worker, board, MQTT and the clock.

pub mod agent;
mod attack_log;
pub mod attacks;
pub mod client;
pub mod config;
mod echo;
pub mod telemetry;
pub mod worker;
