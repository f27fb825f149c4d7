//! What the board measures of itself. It is read outside of the agent: agent and worker receive it, and ask for nothing.
//!
//! | | from | |
//! |---|---|---|
//! | resident memory | `VmRSS` of `/proc/self/status` | of the client, right after a training, while its buffers are still held |
//! | temperature | the first processor's zone of `/sys/class/thermal` | |
//! | clock | `scaling_cur_freq` of the first core | |
//! | throttling | `get_throttled` in sysfs where the kernel has it, else `vcgencmd get_throttled` | |
//! | power | `vcgencmd pmic_read_adc` | Pi 5: the sum over the rails |
//!
//! [`hardware`] reads once what the board is and which client this is.
//!
//! A [`Gauge`] reads every few seconds on a thread of its own, so that no round ever waits for a sensor or a program. A value
//! that cannot be read, or makes no sense, is unknown.

mod board;
#[cfg(test)]
mod examples;
mod files;
mod firmware;
mod gauge;
mod hardware;

pub use board::{Board, Reading, Sources};
pub use gauge::{Gauge, Measuring};
pub use hardware::hardware;
