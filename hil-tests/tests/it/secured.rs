//! A Mosquitto that is configured as `firmware-configs/mosquitto` has it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use hil_tests::faults::Mosquitto;
use link::{BrokerAddress, Link, LinkOptions, TlsFiles};
use tempfile::TempDir;
use wire::identity::DeviceId;

use crate::certificates::{Authority, Validity};
use crate::mosquitto;

const CONFIG: &str = include_str!("../../../firmware-configs/mosquitto/outpost.conf");
const ACL: &str = include_str!("../../../firmware-configs/mosquitto/acl");
const DEVICE: &str = include_str!("../../../firmware-configs/mosquitto/acl.device");
const COLLUDER: &str = include_str!("../../../firmware-configs/mosquitto/acl.colluder");
const FULL_KNOWLEDGE: &str = include_str!("../../../firmware-configs/mosquitto/acl.full-knowledge");

/// What devices are granted beyond what every device may.
pub(crate) struct Grants {
    pub(crate) colluders: Vec<DeviceId>,
    pub(crate) full_knowledge: bool,
}

/// The broker, and the authority that signed its certificate.
pub(crate) struct Secured {
    pub(crate) mosquitto: Mosquitto,
    pub(crate) authority: Authority,
}

impl Secured {
    /// `None`, having said so, where Mosquitto is not installed. The user `observer` may do everything, and each has an
    /// echo: `echo/NAME`.
    pub(crate) fn start(grants: &Grants, validity: Validity) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "ca");
        authority.issue_for("broker", validity);
        let mut acl = format!("{ACL}\nuser observer\ntopic readwrite #\n\npattern readwrite echo/%u\n");
        // As many devices as a lab has.
        for device in (0..5).map(DeviceId) {
            acl += &DEVICE.replace("{device}", &device.to_string());
        }
        for device in &grants.colluders {
            acl += &COLLUDER.replace("{device}", &device.to_string());
            acl += if grants.full_knowledge { FULL_KNOWLEDGE } else { "" };
        }
        fs::write(folder.path().join("acl"), acl).unwrap();
        let config = adapted(&folder);
        let mosquitto = mosquitto::start_with(folder, |port| {
            config.replace("\nlistener 8883\n", &format!("\nlistener {port} 127.0.0.1\n"))
        })?;
        Some(Secured { mosquitto, authority })
    }

    pub(crate) fn address(&self) -> String {
        format!("mqtts://127.0.0.1:{}", self.mosquitto.address().port)
    }

    /// A link of one's own, as the owner of a new certificate for `name`.
    pub(crate) fn link(&self, name: &str) -> Link {
        self.link_as(name, &format!("{name}-link"))
    }

    /// The same, by the MQTT client id `client_id`.
    pub(crate) fn link_as(&self, name: &str, client_id: &str) -> Link {
        let client_id = client_id.to_owned();
        let broker: BrokerAddress = self.address().parse().unwrap();
        let tls = self.authority.issue(name).load(&broker).unwrap();
        let patience = Duration::from_secs(5);
        Link::open(LinkOptions { tls, ..LinkOptions::new(broker, client_id, patience) })
    }
}

/// `command` with the broker at `address`, and with `files`.
pub(crate) fn equip(mut command: Command, address: &str, files: &TlsFiles) -> Command {
    command.args(["--broker", address]);
    for (option, file) in [("--ca", &files.ca), ("--cert", &files.cert), ("--key", &files.key)] {
        command.args(file.iter().flat_map(|file| [option.as_ref(), file.as_os_str()]));
    }
    command
}

/// The configuration with its files in `folder`; fails if that would change nothing.
fn adapted(folder: &TempDir) -> String {
    let files =
        [("ca.pem", "ca.pem"), ("broker.pem", "broker.crt"), ("broker.key", "broker.key"), ("acl", "acl")];
    files.iter().fold(CONFIG.to_owned(), |config, (installed, here)| {
        let line = |path: &str| format!("file {path}\n");
        let from = line(&format!("/etc/mosquitto/outpost/{installed}"));
        assert!(config.contains(&from), "no `{from}` in outpost.conf");
        config.replace(&from, &line(folder.path().join(here).to_str().unwrap()))
    })
}
