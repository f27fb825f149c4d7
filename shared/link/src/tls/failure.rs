//! What a failed connection over TLS means, in words that say what to do.
//!
//! None is final: the broker may get another certificate, and a board without a clock battery has the right time only after
//! it has asked for it. So the link tries again as long as its patience lasts.

use std::error::Error as StdError;
use std::io;

use rumqttc::{ConnectReturnCode as Code, ConnectionError};
use rustls::{AlertDescription as Alert, CertificateError, Error};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::BrokerAddress;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody answers, or nobody any more.
    Away(String),
    /// Somebody answers, but the two do not agree.
    Refused(String),
}

/// What `error` means on the way to `broker`; `answered` if the connection had been up.
pub(crate) fn explain(error: &ConnectionError, broker: &BrokerAddress, answered: bool) -> Failure {
    match (tls_error(error), error) {
        (Some(error), _) => Failure::Refused(words(error, broker)),
        (None, ConnectionError::ConnectionRefused(Code::BadUserNamePassword | Code::NotAuthorized)) => {
            let what =
                "it does not know this program's user name or password: --user and --password-file give them";
            Failure::Refused(what.to_owned())
        }
        (None, ConnectionError::ConnectionRefused(code)) => {
            Failure::Refused(format!("the broker answers {code:?}"))
        }
        // The alert that says why may be lost with the connection: it is sent and the socket closed at once.
        (None, _) if broker.tls && !answered && was_cut(error) => Failure::Refused(format!(
            "{error}; it may refuse this program's certificate, or ask for one: --cert and --key give it"
        )),
        (None, _) => Failure::Away(error.to_string()),
    }
}

/// The error of rustls that is behind `error`, if one is.
fn tls_error(error: &ConnectionError) -> Option<&Error> {
    chain(error).find_map(|error| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        error.downcast_ref().or_else(|| inner?.downcast_ref())
    })
}

/// Whether the other end hung up.
fn was_cut(error: &ConnectionError) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let hung_up = |kind| matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
    matches!(error, ConnectionError::MqttState(rumqttc::StateError::ConnectionAborted))
        || chain(error)
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(|error| hung_up(error.kind()))
}

fn chain(error: &ConnectionError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = Some(error as &(dyn StdError + 'static));
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

fn words(error: &Error, broker: &BrokerAddress) -> String {
    use CertificateError as Certificate;
    let what = match error {
        Error::InvalidCertificate(error) => match error {
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                format!("the broker's certificate has expired, or {}", clock())
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                format!("the broker's certificate is not valid yet, or {}", clock())
            }
            Certificate::NotValidForNameContext { presented, .. } => format!(
                "the broker's certificate is not for {} but for {}; name the broker in --broker as it does",
                broker.host,
                if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") }
            ),
            Certificate::UnknownIssuer | Certificate::BadSignature => {
                "the broker's certificate is of another authority: it is not signed by the CA of --ca, or without --ca by \
                 none that this system trusts"
                    .to_owned()
            }
            _ => format!("the broker's certificate cannot be used: {error}"),
        },
        Error::AlertReceived(alert) => match alert {
            Alert::CertificateRequired => {
                "the broker asks for a certificate: give --cert and --key".to_owned()
            }
            Alert::CertificateExpired => {
                "the broker says that this program's certificate has expired; renew it, or see whether its \
                 clock is right"
                    .to_owned()
            }
            Alert::UnknownCA => {
                "this program's certificate (--cert) is of another authority: the broker does not know the CA that signed it"
                    .to_owned()
            }
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::AccessDenied
            | Alert::DecryptError => format!("the broker refuses this program's certificate ({alert:?})"),
            Alert::HandshakeFailure => {
                "the broker refuses the handshake; it may ask for a certificate: --cert and --key give it"
                    .to_owned()
            }
            _ => format!("the broker refuses the handshake ({alert:?})"),
        },
        Error::InvalidMessage(_) => "what answers there does not speak TLS; is it the right port?".to_owned(),
        _ => error.to_string(),
    };
    format!("TLS: {what}")
}

/// Why a date may be wrong although the certificate is not.
fn clock() -> String {
    let mut now = String::new();
    // Writing into a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    format!("this device's clock is wrong: it says {now}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: Error) -> String {
        let broker = "mqtts://10.0.0.1".parse().unwrap();
        let error = ConnectionError::Io(io::Error::new(io::ErrorKind::InvalidData, error));
        match explain(&error, &broker, false) {
            Failure::Refused(text) => text,
            away @ Failure::Away(_) => panic!("{away:?}"),
        }
    }

    #[test]
    fn refused_certificates_are_explained() {
        let expired = said(Error::InvalidCertificate(CertificateError::Expired));
        assert!(
            expired.contains("has expired") && expired.contains("clock is wrong: it says 20"),
            "{expired}"
        );
        let other = said(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: "10.0.0.1".try_into().unwrap(),
            presented: vec!["broker.local".to_owned()],
        }));
        assert!(other.contains("not for 10.0.0.1 but for broker.local"), "{other}");
        let none = said(Error::AlertReceived(Alert::CertificateRequired));
        assert!(none.contains("give --cert and --key"), "{none}");
    }

    #[test]
    fn a_connection_that_is_cut_without_a_word_is_explained_over_tls_only() {
        let error = ConnectionError::MqttState(rumqttc::StateError::ConnectionAborted);
        let explained = |broker: &str, answered| explain(&error, &broker.parse().unwrap(), answered);
        assert!(matches!(explained("mqtts://h", false), Failure::Refused(text) if text.contains("--cert")));
        assert!(matches!(explained("mqtts://h", true), Failure::Away(_)));
        assert!(matches!(explained("mqtt://h", false), Failure::Away(_)));
    }
}
