//! The aggregator: rounds, robust aggregation, their record, and a broker where there is none.
//!
//! # Layout
//! - [`machine`]: the rounds of a run, as a state machine without I/O.
//! - [`screening`]: the defense of a round, stage by stage, before the aggregation rule.
//! - [`trial`]: whether devices could go on training from an update, before the rule gets it.
//! - [`worker`]: what the aggregator computes: the aggregate, and how good it is.
//! - [`evaluator`]: evaluates models.
//! - [`backend`]: what rules are computed on, processors or a GPU (`cuda`, with the feature of that name).
//! - [`run`]: a run in progress: where it starts or resumes, and what of it is on disk. The directory itself and the report
//!   are the crate [`record`].
//! - [`attack_log`]: what compromised devices do, where a bench writes it down.
//! - `broker`: the embedded MQTT broker, with the feature `embedded-broker`.
//! - [`config`]: the settings, from the command line and the environment.
//! - [`node`]: joins machine, worker and record to [`link::drive()`], the loop of both programs.

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
pub mod root;

pub mod run;
pub mod screening;
pub mod trial;
pub mod worker;

pub use program::main;
