//! `mqtt://host:port`.

use std::fmt;
use std::str::FromStr;

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A text that is no broker address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a broker address; expected mqtt://HOST or mqtt://HOST:PORT")]
pub struct InvalidBrokerAddress(String);

impl FromStr for BrokerAddress {
    type Err = InvalidBrokerAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let rest = text.strip_prefix("mqtt://")?;
            let (host, port) = match rest.rsplit_once(':') {
                Some((host, port)) if !rest.ends_with(']') => (host, port.parse().ok()?),
                _ => (rest, 1883),
            };
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            let plain =
                !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/@?#[]".contains(c));
            plain.then(|| BrokerAddress { host: host.to_owned(), port })
        };
        parse().ok_or_else(|| InvalidBrokerAddress(text.to_owned()))
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BrokerAddress { host, port } = self;
        if host.contains(':') {
            write!(f, "mqtt://[{host}]:{port}")
        } else {
            write!(f, "mqtt://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_written() {
        for (text, host, port) in [
            ("mqtt://localhost:1884", "localhost", 1884),
            ("mqtt://broker.local", "broker.local", 1883),
            ("mqtt://[::1]:1885", "::1", 1885),
            ("mqtt://[::1]", "::1", 1883),
        ] {
            let address: BrokerAddress = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string().parse::<BrokerAddress>().unwrap(), address);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_expected_form() {
        for wrong in ["localhost:1883", "mqtt://", "mqtt://h:99999", "mqtt://u@h", "mqtts://h", "mqtt://a b"]
        {
            let error = wrong.parse::<BrokerAddress>().unwrap_err().to_string();
            assert!(error.contains("mqtt://HOST"), "{error}");
        }
    }
}
