//! `mqtt://host:port`, and `mqtts://host:port` over TLS.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The scheme of each kind of address, whether it is over TLS, and its port.
const SCHEMES: [(&str, bool, u16); 2] = [("mqtt://", false, 1883), ("mqtts://", true, 8883)];

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is spoken there.
    pub tls: bool,
}

/// A text that is no broker address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a broker address; expected mqtt://HOST or mqtt://HOST:PORT, with mqtts for TLS")]
pub struct InvalidBrokerAddress(String);

impl FromStr for BrokerAddress {
    type Err = InvalidBrokerAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (rest, tls, port) = SCHEMES
                .into_iter()
                .find_map(|(scheme, tls, port)| Some((text.strip_prefix(scheme)?, tls, port)))?;
            let (host, port) = match rest.rsplit_once(':') {
                Some((host, port)) if !rest.ends_with(']') => (host, port.parse().ok()?),
                _ => (rest, port),
            };
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            let plain =
                !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/@?#[]".contains(c));
            plain.then(|| BrokerAddress { host: host.to_owned(), port, tls })
        };
        parse().ok_or_else(|| InvalidBrokerAddress(text.to_owned()))
    }
}

impl From<SocketAddr> for BrokerAddress {
    /// A broker without TLS.
    fn from(address: SocketAddr) -> Self {
        BrokerAddress { host: address.ip().to_string(), port: address.port(), tls: false }
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BrokerAddress { host, port, tls } = self;
        let scheme = SCHEMES[usize::from(*tls)].0;
        if host.contains(':') {
            write!(f, "{scheme}[{host}]:{port}")
        } else {
            write!(f, "{scheme}{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_written() {
        for (text, host, port, tls) in [
            ("mqtt://localhost:1884", "localhost", 1884, false),
            ("mqtt://broker.local", "broker.local", 1883, false),
            ("mqtt://[::1]:1885", "::1", 1885, false),
            ("mqtt://[::1]", "::1", 1883, false),
            ("mqtts://broker.local", "broker.local", 8883, true),
            ("mqtts://[::1]:1885", "::1", 1885, true),
        ] {
            let address: BrokerAddress = text.parse().unwrap();
            assert_eq!(address, BrokerAddress { host: host.to_owned(), port, tls });
            assert_eq!(address.to_string().parse::<BrokerAddress>().unwrap(), address);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_expected_form() {
        for wrong in
            ["localhost:1883", "mqtt://", "mqtt://h:99999", "mqtt://u@h", "mqttss://h", "mqtts://a b"]
        {
            let error = wrong.parse::<BrokerAddress>().unwrap_err().to_string();
            assert!(error.contains("mqtt://HOST"), "{error}");
        }
    }
}
