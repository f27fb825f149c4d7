//! Provisioning: everything that a fleet needs before it can run a scenario, in one folder.
//!
//! | in the folder | for | what |
//! |---|---|---|
//! | `devices/device-007/` | that device | `client.toml`, `scenario.toml`, `shard.safetensors` unless it has its own, and with TLS `ca.pem`, `device.pem`, `device.key` |
//! | `devices/device-007/cloud-init/` | its SD card | `user-data`, `network-config`, `meta-data`: with an ssh key only |
//! | `aggregator/` | the aggregator | `scenario.toml`, `shards.toml` unless devices have their own, `aggregator.env`, its certificate |
//! | `broker/` | Mosquitto | `outpost.conf`, `acl`, `limits.conf`, its certificate: with TLS only |
//! | `operator/` | whoever runs `hil deploy` and `hil fleet status` | a certificate: with TLS only |
//! | `ca/` | nobody else | the authority that all certificates come from: with TLS only |
//! | `provision.json` | | what was written, with digests |
//!
//! Nothing secret leaves the folder, which only its owner may enter; keys are created readable by nobody else.
//! Provisioning again keeps the keys, renews certificates that end soon, removes devices that have left the inventory, and
//! replaces what has changed.

mod broker;
mod certificates;
mod cloud_init;
mod devices;
mod folder;
mod login_keys;
mod manifest;
mod wifi;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use certificates::Certificates;
use scenario::Scenario;
use time::Duration;

use crate::data::FleetData;
use crate::fleet::inventory::Inventory;
pub use cloud_init::FirstBoot;
pub(crate) use cloud_init::UNIT;
#[cfg(test)]
pub(crate) use cloud_init::root_commands;
use folder::Folder;
pub use login_keys::{LoginKeysError, login_keys};
pub use manifest::{CertificateEntry, FirstToExpire, Manifest, RENEW_WITHIN_DAYS};
pub use wifi::{Wifi, WifiError};

/// What to provision, and where.
#[derive(Debug)]
pub struct Provision<'a> {
    /// The fleet.
    pub inventory: &'a Inventory,
    /// What it is to run.
    pub scenario: Arc<Scenario>,
    /// The data of that.
    pub data: &'a FleetData,
    /// What the devices' SD cards need, if cloud-init is to set them up.
    pub first_boot: Option<FirstBoot>,
    /// What is to become of the keys.
    pub keys: Keys,
    /// Certificates with fewer days left are renewed.
    pub renew_within_days: u16,
}

/// What is to become of a fleet's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// They stay.
    #[default]
    Keep,
    /// All are replaced at once, the authority's too.
    Rotate,
    /// Another authority issues from now on, and both are trusted.
    NewAuthority,
    /// The earlier of two authorities is not trusted any more.
    EndTransition,
}

/// What provisioning did.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// The folder.
    pub folder: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
    /// Files that are new or have changed, as they are called in the manifest.
    pub changed: Vec<String>,
    /// Whose certificates are new, by the names of the manifest.
    pub issued: Vec<String>,
    /// Devices that are not of the fleet any more.
    pub removed: Vec<String>,
    /// Where the keys and certificates went that were replaced.
    pub retired: Option<PathBuf>,
}

impl Provision<'_> {
    /// Writes the folder `out`, or brings it up to date.
    ///
    /// # Errors
    /// If the folder holds something else, or a file cannot be written; and if the scenario is not one of this fleet.
    pub fn write(&self, out: &Path) -> anyhow::Result<Provisioned> {
        self.inventory.check(&self.scenario)?;
        if self.first_boot.is_some() {
            cloud_init::check(self.inventory)?;
        }
        let mut folder = Folder::open(out, self.inventory, &self.scenario)?;
        let retired = if self.keys == Keys::Rotate { folder.retire_keys()? } else { None };
        folder.remove_others(self.inventory)?;
        let (tls, fleet) = (self.inventory.broker.url.tls, &self.inventory.name);
        ensure!(
            tls || self.keys == Keys::Keep,
            "{}: without TLS there are no keys to replace",
            self.inventory.file()
        );
        let renew_within = Duration::days(self.renew_within_days.into());
        let certificates = tls.then(|| Certificates::of(&mut folder, fleet, self.keys, renew_within));
        let mut certificates = certificates.transpose()?;
        if let Some(certificates) = &mut certificates {
            broker::write(&mut folder, certificates, self.inventory, &self.scenario)?;
            certificates.issue(&mut folder, "operator", "operator/operator", &[])?;
            certificates.issue(&mut folder, "aggregator", "aggregator/aggregator", &[])?;
        }
        // Those that lie on the devices stay there.
        let is_dealt = self.scenario.dataset.on_devices().is_none();
        let shards = is_dealt.then(|| self.data.shards(&self.scenario)).transpose()?;
        let list = shards.as_ref().map(|shards| self.data.shard_list(&self.scenario, shards));
        devices::write_aggregator(&mut folder, self.inventory, &self.scenario, list.as_ref())?;
        for device in &self.inventory.devices {
            let shard = shards.as_ref().map(|shards| {
                let shard = shards.get(device.id.0 as usize).context("a device without a shard")?;
                anyhow::Ok(shard.to_bytes(&self.data.shard_info(&self.scenario, device.id)))
            });
            let shard = shard.transpose()?;
            devices::write(&mut folder, device, self.inventory, &self.scenario, shard.as_deref())?;
            if let Some(certificates) = &mut certificates {
                let name = device.id.to_string();
                certificates.issue(&mut folder, &name, &format!("devices/{name}/device"), &[])?;
            }
            if let Some(first_boot) = &self.first_boot {
                cloud_init::write(&mut folder, device, self.inventory, first_boot)?;
            }
        }
        folder.finish(retired)
    }
}
