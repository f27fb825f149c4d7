//! How an emulated board reaches the machine that it is emulated on.

use std::net::IpAddr;

use link::BrokerAddress;

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
