//! The embedded MQTT 3.1.1 broker, so that one machine needs nothing else installed.
//!
//! It has neither authentication nor TLS: whoever reaches it can be any device, and the aggregator as well. A fleet in the
//! field needs a broker such as Mosquitto instead. It does not support sessions that outlive a connection (a session is
//! always new), QoS 2 (a client that publishes with it is disconnected) or MQTT 5.
//!
//! # Layout
//! - `listener.rs`: who gets a connection; `connection.rs`: from a connection's first packet to its last.
//! - `options.rs`: the options of the command line.
//! - `packets.rs`: packets in and out of a socket; `topics.rs`: which topics a filter matches.
//! - `router.rs`: who receives what, what is retained, and what may lie in memory.
//! - `client.rs`: what waits for one client.
//!
//! # Back-pressure instead of loss
//! A publication is acknowledged when it lies in the queues of all its receivers. While one of these has no room, the broker
//! stops reading the publisher's connection, so TCP holds the publisher back; nothing is dropped. A queue is served topic by
//! topic in turn, so one device's flood does not delay another device's update, and the protocol's topics have room that
//! others cannot take. A receiver that keeps others waiting and takes less than [`LEAST_TAKEN`] in [`PATIENCE`] is
//! disconnected; likewise the one with the longest queue when memory is short. The aggregator's own connection
//! (`Settings::owner`) is never disconnected, and has room for half of the memory.
//!
//! Nobody waits for ever: reading from a client and writing to it are independent, answers do not wait for messages, and what
//! the aggregator publishes has a part of the memory to itself, so the broker can always read from the aggregator, and the
//! aggregator takes what waits for it. If a device and the aggregator wait for each other all the same, the device is
//! disconnected.
//!
//! # Memory
//! Every byte of a packet is charged to one account of [`MEMORY`] bytes, from the moment its length is known until its last
//! receiver has it. In addition each connection has two buffers of some 64 KiB, its filters (at most as many as there are
//! devices, and 64), and a last will of at most [`MAX_KEPT_STATUS`] bytes. The broker retains the aggregator's announcement
//! and one status of each device of the scenario, and no other topic.

mod client;
mod connection;
mod listener;
mod options;
mod packets;
mod router;
#[cfg(test)]
mod tests;
mod topics;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use link::BrokerAddress;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use wire::{MAX_MESSAGE_BYTES, Topics};

pub use options::Options;

use router::Router;

/// Room for a topic and the packet's own header beside the largest message.
const MAX_PACKET: usize = MAX_MESSAGE_BYTES + 4096;
/// What all packets together may take.
pub const MEMORY: usize = 512 << 20;
/// The part of it that is for what the aggregator publishes.
const OWNERS: usize = 128 << 20;
/// What may wait for one client, and as much again of the protocol's topics alone; for the aggregator, half of the memory
/// in place of the former.
const QUEUE: usize = 64 << 20;
/// A status that is retained, or a last will, is at most this long.
pub const MAX_KEPT_STATUS: usize = 4096;
/// How long a client may keep others waiting before it must have taken [`LEAST_TAKEN`].
pub const PATIENCE: Duration = Duration::from_secs(10);
/// See [`PATIENCE`].
pub const LEAST_TAKEN: u64 = 4 << 20;
/// Connections at most, if the operating system allows as many.
const MAX_CONNECTIONS: u64 = 11_000;
/// Descriptors that are left to the rest of the process.
const OTHER_DESCRIPTORS: u64 = 128;

/// What the broker is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 becomes a free one.
    pub address: SocketAddr,
    /// Whose announcement and statuses are retained.
    pub topics: Topics,
    /// How many devices there are.
    pub devices: u32,
    /// The client id of the aggregator's own connection; random, so nobody else knows it.
    pub owner: String,
}

/// A broker that is running. It runs until the process ends.
#[derive(Debug)]
pub struct Broker {
    /// Where this machine reaches it.
    pub address: BrokerAddress,
    ended: oneshot::Receiver<()>,
}

/// Why the broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {cause}; name another one with --listen, or a running broker with --broker"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// The address can be reached from elsewhere, and nobody said that this is meant.
    #[error(
        "--listen {0} opens the embedded broker to the network, where whoever reaches it can be any device and the \
         aggregator as well: say --trust-network if that is meant, or use a broker with access control (--broker)"
    )]
    Untrusted(SocketAddr),
    /// Not every device could have a connection.
    #[error(
        "a process may have {files} files open here, and the embedded broker of {devices} devices needs {needed}: raise \
         that limit (ulimit -n)"
    )]
    TooFewFiles {
        /// How many there may be.
        files: u64,
        /// How many it needs.
        needed: u64,
        /// How many devices there are.
        devices: u32,
    },
    /// There is no thread for it.
    #[error("the embedded broker cannot start: {0}")]
    Start(std::io::Error),
    /// It ended while it was needed.
    #[error(
        "the embedded broker has ended, which is a defect of this program (what it printed before says more); start it \
         again to go on with the run"
    )]
    Ended,
}

/// Starts the broker.
///
/// # Errors
/// [`BrokerError`] names the address, and why.
pub fn start(settings: Settings) -> Result<Broker, BrokerError> {
    let files = link::raise_file_limit();
    let limit = files.saturating_sub(OTHER_DESCRIPTORS).min(MAX_CONNECTIONS);
    let devices = settings.devices;
    if limit < MAX_CONNECTIONS.min(u64::from(devices) + 1) {
        return Err(BrokerError::TooFewFiles {
            files,
            needed: OTHER_DESCRIPTORS + u64::from(devices) + 1,
            devices,
        });
    }
    let limit = limit as usize;
    let address = settings.address;
    let (listener, address) = listen(address).map_err(|cause| BrokerError::Listen { address, cause })?;
    let (alive, ended) = oneshot::channel::<()>();
    let (started, outcome) = mpsc::channel();
    let router = Arc::new(Router::new(settings));
    // A runtime of its own, made and dropped on its own thread: the caller's is busy with the caller.
    let serve = move || {
        let _alive = alive;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("broker")
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(async {
                let listener = TcpListener::from_std(listener);
                // Whoever started it waits for this word.
                let _ = started.send(listener.as_ref().map(|_| ()).map_err(|error| error.kind().into()));
                if let Ok(listener) = listener {
                    listener::serve(listener, router, limit).await;
                }
            }),
            Err(error) => drop(started.send(Err(error))),
        }
    };
    thread::Builder::new().name("broker".to_owned()).spawn(serve).map_err(BrokerError::Start)?;
    outcome.recv().map_err(|_| BrokerError::Ended)?.map_err(BrokerError::Start)?;
    Ok(Broker { address: reachable(address).into(), ended })
}

impl Broker {
    /// Resolves when the broker has ended, which it does not do by itself.
    pub async fn ended(&mut self) -> BrokerError {
        // Nothing is ever sent: the other end is dropped.
        let _ = (&mut self.ended).await;
        BrokerError::Ended
    }
}

/// Listens on an address that an earlier broker may have used just before, as the standard library has it.
fn listen(address: SocketAddr) -> std::io::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Where this machine reaches a broker that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}
