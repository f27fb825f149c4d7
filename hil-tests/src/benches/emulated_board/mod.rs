//! Emulated boards: a whole machine under QEMU, with a kernel, memory and cores of its own.
//!
//! # Layout
//! - `kernel.rs`: [`Kernel`], what a board boots; [`fetch`] gets it.
//! - `initramfs.rs`: the file system of a board: the kernel's modules, `init`, and the files of the device.
//! - `machine.rs`: a board that is switched on. `message.rs`: the messages of its `init`.
//! - `board.rs`: [`EmulatedBoard`], what can be done to it; `host.rs`: a board as the host of a client.
//!
//! ```text
//!  this machine                          the board
//!  bench ──── a line at a time ────────► init ──► edge-client
//!        ◄─── ready, started, ended ────  (firmware-configs/qemu/init)
//!  broker ◄── 10.0.2.2 ──────────────────────────────┘
//! ```

mod board;
mod host;
mod initramfs;
mod kernel;
mod machine;
mod message;

pub use board::EmulatedBoard;
pub(crate) use host::EmulatedHost;
pub use kernel::{Kernel, fetch, folder};
pub use machine::qemu;
