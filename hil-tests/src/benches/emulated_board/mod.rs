//! Emulated boards: a whole machine under QEMU, with a kernel, memory and cores of its own.
//!
//! # Layout
//! - `kernel.rs`: [`Kernel`], what a board boots; [`fetch`] gets it.
//! - `initramfs.rs`: the file system that a board has: the kernel's modules, `init`, and what the device is given.
//! - `machine.rs`: a board that is switched on. `said.rs`: what it tells.
//! - `board.rs`: [`EmulatedBoard`], what can be done to it; `seat.rs`: as the seat of a client.
//!
//! ```text
//!  this machine                          the board
//!  bench ──── a line at a time ────────► init ──► edge-client
//!        ◄─── ready, started, ended ────  (firmware-configs/qemu/init)
//!  broker ◄── 10.0.2.2 ──────────────────────────────┘
//! ```

mod board;
mod initramfs;
mod kernel;
mod machine;
mod said;
mod seat;

pub use board::EmulatedBoard;
pub use kernel::{Kernel, fetch, folder};
pub use machine::qemu;
pub(crate) use seat::EmulatedSeat;
