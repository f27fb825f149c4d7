//! A fleet as its broker knows it: what each device last said of itself.

mod statuses;
mod table;

use std::path::Path;

use link::{BrokerAddress, TlsFiles};

pub use statuses::{LastStatus, Statuses};
pub use table::{DeviceState, Presence, states, table};

/// How the operator reaches the fleet's broker.
#[derive(Clone, Debug)]
pub struct Access {
    /// The broker.
    pub broker: BrokerAddress,
    /// The operator's certificate, for a broker with TLS.
    pub tls: TlsFiles,
}

impl Access {
    /// The access to `broker` with the certificate in the provisioned `folder`, if it takes one.
    ///
    /// # Errors
    /// If the broker speaks TLS and there is no folder.
    pub fn new(broker: &BrokerAddress, folder: Option<&Path>) -> anyhow::Result<Self> {
        if broker.tls && folder.is_none() {
            anyhow::bail!("{broker} wants a certificate: name the folder that `hil provision` wrote, too");
        }
        let file =
            |name: &str| folder.filter(|_| broker.tls).map(|folder| folder.join("operator").join(name));
        let tls = TlsFiles { ca: file("ca.pem"), cert: file("operator.pem"), key: file("operator.key") };
        Ok(Access { broker: broker.clone(), tls })
    }
}
