//! The embedded MQTT broker: rumqttd, so that one machine needs nothing else installed.
//!
//! It has neither authentication nor TLS and is meant for tests, demonstrations and trusted networks; a fleet in the
//! field wants a broker such as Mosquitto in its place.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rim::BrokerAddress;
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use shared::wire::MAX_MESSAGE_BYTES;
use tracing::debug;

use crate::nodelay::send_at_once;

/// How long the broker may take to listen.
const START: Duration = Duration::from_secs(5);

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
    /// It ended, or did not come up.
    #[error("the embedded broker on {address} did not start: {what}")]
    Start {
        /// The address.
        address: SocketAddr,
        /// Why.
        what: String,
    },
}

/// Starts the broker on `address` and returns when it answers. It runs until the process ends.
///
/// # Errors
/// [`BrokerError`] names the address, and why.
pub fn start(address: SocketAddr) -> Result<BrokerAddress, BrokerError> {
    // rumqttd reports success when it cannot bind, so this is found out before.
    let probe = TcpListener::bind(address).map_err(|cause| BrokerError::Listen { address, cause })?;
    drop(probe);
    let failed = |what: String| BrokerError::Start { address, what };
    let mut broker = Broker::new(config(address));
    let broker = thread::Builder::new()
        .name("broker".to_owned())
        .spawn(move || broker.start().map_err(|error| error.to_string()))
        .map_err(|error| failed(error.to_string()))?;
    let reachable = reachable(address);
    let deadline = Instant::now() + START;
    while TcpStream::connect_timeout(&reachable, START).is_err() {
        if broker.is_finished() || Instant::now() >= deadline {
            return Err(failed("it does not answer".to_owned()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    if let Err(error) = send_at_once(address) {
        debug!("the embedded broker holds small packets back: {error}");
    }
    Ok(reachable.into())
}

/// Where this machine reaches a broker that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}

fn config(address: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 10_000,
        max_payload_size: MAX_MESSAGE_BYTES + 4096,
        max_inflight_count: 200,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings {
        name: "outpost".to_owned(),
        listen: address,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let router = RouterConfig {
        max_connections: 10_010,
        max_outgoing_packet_count: 200,
        // With less than this, rumqttd drops what it has acknowledged when a consumer stalls.
        max_segment_size: 100 << 20,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let v4 = Some(HashMap::from([("outpost".to_owned(), server)]));
    Config { router, v4, ..Config::default() }
}
