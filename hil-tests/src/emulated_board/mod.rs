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

use std::net::IpAddr;

use link::BrokerAddress;

pub use board::EmulatedBoard;
pub use kernel::{Kernel, fetch, folder};
pub use machine::qemu;
pub(crate) use seat::EmulatedSeat;

/// Where a board finds the machine that it is emulated on.
const HOST: &str = "10.0.2.2";

/// `broker`, as an emulated board reaches it: this machine's loopback is another address there.
pub(crate) fn as_seen_within(broker: BrokerAddress) -> BrokerAddress {
    let ip: Option<IpAddr> = broker.host.parse().ok();
    let is_here = broker.host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    if is_here { BrokerAddress { host: HOST.to_owned(), ..broker } } else { broker }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_another_address_within() {
        for (here, within) in [
            ("mqtt://127.0.0.1:1884", "mqtt://10.0.2.2:1884"),
            ("mqtt://localhost", "mqtt://10.0.2.2:1883"),
            ("mqtt://192.168.1.10", "mqtt://192.168.1.10:1883"),
            ("mqtts://broker.local", "mqtts://broker.local:8883"),
        ] {
            assert_eq!(as_seen_within(here.parse().unwrap()).to_string(), within);
        }
    }
}
