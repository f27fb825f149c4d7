//! One device: trains on its own shard and, only where the scenario designates it, attacks.
//!
//! # Layout
//! - [`agent`]: what the device says and when, as a state machine without I/O.
//! - [`worker`]: what the device computes: local training, and crafting of poisoned models.
//! - [`attacks`]: the attacks, behind one trait.
//! - [`config`]: where the binary takes its settings from.
//! - [`client`]: the rim that joins agent, worker, MQTT and the clock.

pub mod agent;
pub mod attacks;
pub mod client;
pub mod config;
mod echo;
pub mod worker;
