//! A fleet as its broker knows it: what each device last said of itself.

mod statuses;
mod table;

use std::path::{Path, PathBuf};

use crate::inventory::BrokerUrl;

pub use statuses::Statuses;
pub use table::{DeviceState, Presence, states, table};

/// How the operator reaches the fleet's broker.
#[derive(Clone, Debug)]
pub struct Access {
    /// The broker.
    pub broker: BrokerUrl,
    /// Where `ca.pem`, `operator.pem` and `operator.key` lie, for a broker with TLS.
    pub certificate: Option<PathBuf>,
}

impl Access {
    /// The access to `broker` with the certificate in the provisioned `folder`, if it takes one.
    ///
    /// # Errors
    /// If the broker speaks TLS and there is no folder.
    pub fn new(broker: &BrokerUrl, folder: Option<&Path>) -> anyhow::Result<Self> {
        if broker.tls && folder.is_none() {
            anyhow::bail!("{broker} wants a certificate: name the folder that `hil provision` wrote, too");
        }
        let certificate = folder.filter(|_| broker.tls).map(|folder| folder.join("operator"));
        Ok(Access { broker: broker.clone(), certificate })
    }
}
