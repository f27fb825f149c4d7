//! The command line of the binary.

#![allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "clap prints these comments as they stand")]

use std::path::PathBuf;

use clap::Parser;
use link::{BrokerAddress, BrokerOptions};
use program::CommandLine;
use wire::Topics;
use wire::identity::DeviceId;

use crate::backend::DeviceChoice;

/// The aggregator of an Outpost fleet: gathers the devices, calls rounds, aggregates their updates with the
/// scenario's rule, evaluates the global model and keeps the record.
///
/// Without --broker it brings its own broker, unless it was built without one. A run that was interrupted or killed goes
/// on where it was when it is started again with the same --out.
///
///   aggregator-node scenario.toml --out runs/first
///   aggregator-node scenario.toml --out runs/second --broker mqtt://192.168.1.10:1883
///   aggregator-node scenario.toml --out runs/third --broker mqtts://192.168.1.10 --ca ca.pem --cert a.pem --key a.key
///
/// Exit codes: 0 the run is finished, 1 failure (also of a run in which nothing was aggregated), 2 wrong usage, 130
/// interrupted (run it again to go on).
#[derive(Clone, Debug, Parser)]
#[command(name = "aggregator-node", version, verbatim_doc_comment)]
pub struct Cli {
    /// The scenario file
    #[arg(env = "OUTPOST_SCENARIO")]
    pub scenario: PathBuf,
    /// The run's directory
    #[arg(long, value_name = "DIR", env = "OUTPOST_OUT")]
    pub out: PathBuf,
    /// Override one key of the scenario, as in --set fleet.devices=20; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Folder that holds the data sets
    #[arg(long, value_name = "DIR", env = "OUTPOST_DATASETS", default_value = "datasets")]
    pub datasets: PathBuf,
    /// The shards.toml that was written beside the devices' shards: a device that trains on another one is refused, and a
    /// run that was made with other training data, too
    #[arg(long, value_name = "FILE", env = "OUTPOST_SHARDS")]
    pub shards: Option<PathBuf>,
    /// Use this broker instead of the embedded one
    #[arg(long, value_name = "URL", env = "OUTPOST_BROKER", required = !cfg!(feature = "embedded-broker"))]
    pub broker: Option<BrokerAddress>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it")]
    pub access: BrokerOptions,
    #[cfg(feature = "embedded-broker")]
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it")]
    pub embedded: crate::broker::Options,
    /// First level(s) of every topic
    #[arg(long, value_name = "PREFIX", env = "OUTPOST_TOPIC_PREFIX", default_value = "outpost", value_parser = Topics::new)]
    pub topic_prefix: Topics,
    /// Seconds that the broker may be away before the aggregator gives up
    #[arg(long, value_name = "SECONDS", env = "OUTPOST_PATIENCE", default_value_t = 60)]
    pub patience: u64,
    /// Do not wait for these devices at first: they are known not to come
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',')]
    pub without: Vec<DeviceId>,
    /// What the record calls the place where the devices run
    #[arg(long, value_name = "NAME", env = "OUTPOST_BENCH", default_value = "boards")]
    pub bench: String,
    /// For benches: the file to which the clients that the bench has started on this machine append what they do of an
    /// attack; it is recorded with each round, and without it the record has no word of that
    #[arg(long, value_name = "FILE")]
    pub attack_log: Option<PathBuf>,
    /// A program with its arguments that may be started where the scenario's rule or a stage names exactly that, as in
    /// 'python3 mine.py'; words that have blanks as a list in JSON; may be repeated, a line each in the environment
    #[arg(long, value_name = "COMMAND", env = "OUTPOST_ALLOW_PROGRAM", value_delimiter = '\n')]
    pub allow_program: Vec<CommandLine>,
    /// What the rules are computed on: cpu, cuda:N for the N-th GPU from 0 on, or auto for the first GPU if there is one
    /// and else the processors; a GPU needs a build with --features cuda (docs/cuda.md)
    #[arg(long, value_name = "DEVICE", env = "OUTPOST_AGGREGATOR_DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,
    /// How much to log: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", env = "OUTPOST_LOG", default_value = "info")]
    pub log: tracing::Level,
}
