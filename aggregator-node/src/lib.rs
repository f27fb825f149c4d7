//! The other end of the wire: rounds, robust aggregation, records, and a broker if there is none.
//!
//! # Layout
//! - [`machine`]: the rounds of a run, as a state machine without I/O.
//! - [`screening`]: the defense, which keeps harmful updates from the aggregation rule.
//! - [`worker`]: what the aggregator computes: the aggregate, and how good it is.
//! - [`evaluator`]: what tells how good models are.
//! - [`backend`]: what rules are computed on, processors or a GPU (`cuda`, with the feature of that name).
//! - `record`, a crate of its own: a run's directory and its report.
//! - [`run`]: a run in progress: where it starts or goes on, and what of it is on disk.
//! - [`attack_log`]: what compromised devices do, where a bench writes it down.
//! - `broker`: the embedded MQTT broker, with the feature `embedded-broker`.
//! - [`config`]: where the binary takes its settings from.
//! - [`node`]: joins machine, worker, record, MQTT and the clock.

pub mod attack_log;
pub mod backend;
#[cfg(feature = "embedded-broker")]
pub mod broker;
pub mod config;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod evaluator;
#[cfg(test)]
mod examples;
pub mod machine;
pub mod node;
mod program;

pub mod run;
pub mod screening;
pub mod trial;
pub mod worker;

pub use program::main;
