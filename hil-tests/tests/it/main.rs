//! End to end through the real programs: each test runs `hil`, `aggregator-node` and `edge-client` as a user would,
//! and looks at exit codes, error lines and run directories only.
//!
//! `cargo test --workspace` builds the programs that these tests start. Those that need something else, such as
//! Mosquitto, sshd, QEMU or Python to read YAML, say so and pass where it is not there.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test is no child's parent for long, and says what it found"
)]

mod access;
mod agreement;
mod arrays;
#[path = "../../../shared/learning/tests/arrows.rs"]
mod arrows;
mod attacked_links;
mod bad_input;
mod boards;
mod broker;
mod budget;
mod certificates;
mod cluster;
mod command_lines;
mod demo;
mod deploy;
mod disks;
mod documents;
mod edge_cases;
mod emulated;
mod emulated_boards;
mod exports;
mod extension;
mod faults;
mod flooding;
mod keys;
mod lab;
mod matrix;
mod misbehaviour;
mod models;
mod mosquitto;
mod on_devices;
mod parting;
mod process;
mod programs;
mod provision;
mod recorded;
mod resume;
mod run_directory;
mod secured;
mod sshd;
mod stopping;
mod supervised;
mod takeover;
mod telemetry;
mod tls;
mod twin;
mod units;
mod your_data;
