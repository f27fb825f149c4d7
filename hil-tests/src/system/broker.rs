//! Reaching a broker of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::bail;
use link::BrokerAddress;

use super::Child;

const POLL: Duration = Duration::from_millis(50);
/// How long a broker may take until it answers.
const START: Duration = Duration::from_secs(30);

/// Waits until the broker answers; false if the process that brings it ended before.
pub(crate) fn wait_for(broker: &BrokerAddress, bringing: &mut Child) -> anyhow::Result<bool> {
    let deadline = Instant::now() + START;
    while TcpStream::connect((broker.host.as_str(), broker.port)).is_err() {
        if bringing.has_ended()? {
            return Ok(false);
        }
        if Instant::now() > deadline {
            bail!("the broker {broker} did not answer within {} s", START.as_secs());
        }
        sleep(POLL);
    }
    Ok(true)
}

/// An address at which this machine reaches what listens on `ip` of it.
pub(crate) fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
