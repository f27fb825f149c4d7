//! Devices: what they are, and everything that brings a fleet of them to its first run.
//!
//! # Layout
//! Each knows those before it, and none after it.
//! - [`boards`]: what a kind of board is; [`step`]: what a training step takes on one.
//! - [`toolchain`]: building for the processors of boards, and emulating them.
//! - [`inventory`]: which devices a fleet has, what they are, and how to reach them.
//! - [`retained`]: what a broker retains of a fleet.
//! - [`status`]: what the devices of a fleet report of themselves.
//! - [`provision`]: everything a fleet needs before a run, in one folder: keys, configurations, shards.
//! - [`deploy`]: bringing that onto the devices, over ssh.

pub mod boards;
pub mod deploy;
pub mod inventory;
pub mod provision;
pub mod retained;
pub mod status;
pub mod step;
pub mod toolchain;
