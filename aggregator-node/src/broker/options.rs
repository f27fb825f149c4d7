//! The embedded broker's options on the command line.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::net::SocketAddr;

use super::BrokerError;

// Without a comment of its own: clap would print it as the program's.
#[derive(Clone, Debug, clap::Args)]
#[allow(missing_docs, reason = "clap would print it")]
pub struct Options {
    /// Where the embedded broker listens; port 0 is any free one; beyond this machine only with --trust-network
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "OUTPOST_LISTEN",
        default_value = "127.0.0.1:1883",
        conflicts_with = "broker"
    )]
    listen: SocketAddr,
    /// Let the embedded broker listen beyond this machine: it has neither passwords nor TLS, and whoever reaches it can be
    /// any device and the aggregator as well
    #[arg(long, env = "OUTPOST_TRUST_NETWORK", conflicts_with = "broker")]
    trust_network: bool,
}

impl Options {
    /// Where to listen.
    ///
    /// # Errors
    /// [`BrokerError::Untrusted`] if others can reach that address, and nobody said that this is meant.
    pub fn address(&self) -> Result<SocketAddr, BrokerError> {
        if self.trust_network || self.listen.ip().is_loopback() {
            Ok(self.listen)
        } else {
            Err(BrokerError::Untrusted(self.listen))
        }
    }
}
