//! The bench: runs a scenario in software, or with real clients over a real broker, wherever they are, and reports.
//!
//! # Layout
//! - [`mod@bench`]: what every bench has in common.
//! - [`software`]: the same agents and the same round machine in one process, over an in-memory link with virtual
//!   time and seeded faults.
//! - [`batched`]: a whole round as a few operations on tensors, on a GPU or on the processors.
//! - [`processes`]: one aggregator process and one client process for each device, over MQTT.
//! - [`boards`]: what a kind of board is.
//! - [`emulated`]: the process bench with clients for other processors, under emulation.
//! - [`emulated_board`]: boards under QEMU that boot a real kernel.
//! - [`on_boards`]: the devices of an inventory: processes of this machine, and boards over ssh.
//! - [`agreement`]: how far the results of benches lie apart.
//! - [`inventory`]: which devices a fleet has, what they are, and how to reach them.
//! - [`provision`]: everything a fleet needs before a run, in one folder: keys, configurations, shards.
//! - [`deploy`]: bringing that onto the devices, over ssh.
//! - [`fleet`]: what the devices of a fleet say of themselves.
//! - [`faults`]: what goes wrong between real processes, on purpose.
//! - [`cases`]: hardware tests as data.
//! - [`children`]: what this program starts, and how none of it outlives this program; [`stop`]: being asked to stop.
//! - [`held_port`]: ports of this machine for processes that are yet to start.
//! - [`fleet_data`]: the data of a scenario, and each device's shard of it.
//! - [`datasets`]: listing and fetching data sets.
//! - [`demo`]: the experiment of the README's first command.
//! - [`sweep`]: many runs, as a grid over scenario keys.
//! - [`paper`]: the tables and figures of the paper.
//! - [`progress`]: what a waiting user sees.
//! - [`table`]: results as a table.
//! - [`toolchain`]: building for the processors of boards, and emulating them.
//! - [`cli`]: the command line of `hil`, one file for each command.

pub mod agreement;
pub mod batched;
pub mod bench;
pub mod boards;
pub mod cases;
mod child_output;
pub mod children;
pub mod cli;
pub mod datasets;
pub mod demo;
pub mod deploy;
pub mod emulated;
pub mod emulated_board;
#[cfg(test)]
mod examples;
pub mod faults;
pub mod fleet;
pub mod fleet_data;
pub mod held_port;
pub mod inventory;
pub mod on_boards;
pub mod paper;
pub mod processes;
mod program;
pub mod progress;
pub mod provision;
pub mod retained;
pub mod software;
pub mod stop;
pub mod sweep;
pub mod table;
pub mod toolchain;
#[cfg(test)]
mod toys;

pub use program::main;
