//! `mqtt://host:port` and `mqtts://host:port`.

use std::fmt;
use std::str::FromStr;

use rim::BrokerAddress;

/// Port of MQTT over TLS.
const TLS_PORT: u16 = 8883;

/// Where a broker listens, and whether it speaks TLS there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Host and port.
    pub address: BrokerAddress,
}

/// A text that is no URL of a broker.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a broker's URL; expected mqtts://HOST[:PORT], or mqtt://HOST[:PORT] without TLS")]
pub struct InvalidBrokerUrl(String);

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidBrokerUrl(text.to_owned());
        let Some(rest) = text.strip_prefix("mqtts://") else {
            let address = text.parse().map_err(|_| invalid())?;
            return Ok(BrokerUrl { tls: false, address });
        };
        let mut address: BrokerAddress = format!("mqtt://{rest}").parse().map_err(|_| invalid())?;
        // What has a port ends in digits after a colon that is not one of an IPv6 address.
        let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        if !has_port {
            address.port = TLS_PORT;
        }
        Ok(BrokerUrl { tls: true, address })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.address.to_string();
        match plain.strip_prefix("mqtt") {
            Some(rest) if self.tls => write!(f, "mqtts{rest}"),
            _ => f.write_str(&plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_back_as_written() {
        for (text, whole) in [
            ("mqtts://192.168.1.10", "mqtts://192.168.1.10:8883"),
            ("mqtts://broker.local:8884", "mqtts://broker.local:8884"),
            ("mqtts://[::1]", "mqtts://[::1]:8883"),
            ("mqtts://[::1]:1", "mqtts://[::1]:1"),
            ("mqtt://localhost", "mqtt://localhost:1883"),
        ] {
            assert_eq!(text.parse::<BrokerUrl>().unwrap().to_string(), whole);
        }
        for wrong in ["192.168.1.10", "mqtts://", "https://a", "mqtts://a/b", "mqtts://a b"] {
            assert!(wrong.parse::<BrokerUrl>().unwrap_err().to_string().contains("mqtts://HOST"), "{wrong}");
        }
    }
}
