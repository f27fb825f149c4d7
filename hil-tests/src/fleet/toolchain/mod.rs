//! Building the fleet's programs for the processors of boards, and running them on this one.
//!
//! [`Target::find`] knows each target's linker, C compiler and emulator, and [`build()`] runs cargo with them. What is
//! missing on a machine is an error that says how to install it.

mod build;
mod error;
mod target;

pub use build::{Built, FLEET_PROFILE, Program, build, built, programs_folder};
pub use error::ToolchainError;
pub use target::{TARGETS, Target};
