//! This machine: starting programs on it, and their output; its ports; requests to stop.
//!
//! # Layout
//! - [`children`]: what this program starts, and how none of it outlives this program.
//! - `child.rs`: a process that is watched. `child_output.rs`: what another program prints, within limits.
//! - `lookup.rs`: where programs are. [`held_port`]: ports for processes that are yet to start. `broker.rs`: reaching a
//!   broker on this machine.
//! - [`stop`]: requests to stop.

mod broker;
mod child;
pub(crate) mod child_output;
pub mod children;
pub mod held_port;
mod lookup;
pub mod stop;

pub(crate) use broker::{reachable, wait_for};
pub(crate) use child::{Child, keep_log};
pub(crate) use lookup::find_program;
