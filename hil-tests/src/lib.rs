//! The bench: runs a scenario in software, or as real processes over a real broker, and reports.
//!
//! # Layout
//! - [`bench`]: what every bench has in common.
//! - [`software`]: the same agents and the same round machine in one process, over an in-memory link with virtual
//!   time and seeded faults.
//! - [`processes`]: one aggregator process and one client process for each device, over MQTT.
//! - [`fleet_data`]: the data of a scenario, and each device's shard of it.
//! - [`data_command`]: `hil data`, which lists and fetches data sets.
//! - [`demo`]: the experiment of the README's first command.
//! - [`progress`]: what a waiting user sees.
//! - [`table`]: results as a table.
//! - [`cli`]: the command line of `hil`.

pub mod bench;
pub mod cli;
pub mod data_command;
pub mod demo;
pub mod fleet_data;
pub mod processes;
pub mod progress;
pub mod software;
pub mod table;
