//! `hil provision`.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Args;
use rim::complain;
use shared::scenario::Scenario;

use super::common::{Common, Ending, UsageError};
use crate::fleet_data::FleetData;
use crate::inventory::{Inventory, Kind};
use crate::provision::{FirstBoot, Provision, Provisioned, Wifi};

/// Write everything a fleet needs to run a scenario: certificates, configurations, shards, SD card files
///
///   cargo hil provision shelf.toml scenario.toml --out fleet --ssh-key ~/.ssh/id_ed25519.pub
///   cargo hil deploy shelf.toml fleet
///
/// The folder is closed to others and nothing secret leaves it. The same command again keeps the keys and replaces
/// what has changed; --rotate replaces keys and authority, too, and keeps the old ones aside. docs/deploy.md goes
/// through it step by step.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ProvisionArgs {
    /// The inventory of the fleet
    fleet: PathBuf,
    /// The scenario file
    scenario: PathBuf,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
    /// Replace the certificate authority and all keys
    #[arg(long)]
    rotate: bool,
    /// Write cloud-init files for the SD cards; the public keys in this file may log in
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// The boards' wireless network, on their SD cards
    #[arg(long, value_name = "NAME", requires_all = ["ssh_key", "wifi_passphrase_file", "wifi_country"])]
    wifi: Option<String>,
    /// Holds the passphrase of that network
    #[arg(long, value_name = "FILE", requires = "wifi")]
    wifi_passphrase_file: Option<PathBuf>,
    /// The country whose rules for radio hold, as in DE
    #[arg(long, value_name = "CODE", requires = "wifi")]
    wifi_country: Option<String>,
}

impl ProvisionArgs {
    /// Writes the folder.
    ///
    /// # Errors
    /// If inventory, scenario or data is unusable, or a file cannot be written.
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let inventory = Inventory::load(&self.fleet)?;
        let scenario = Arc::new(Scenario::load(&self.scenario, &self.common.settings)?);
        inventory.check(&scenario)?;
        let first_boot = self.first_boot()?;
        let data = FleetData::load(&scenario, &self.common.folder.path())?;
        let provision = Provision {
            inventory: &inventory,
            scenario: scenario.clone(),
            data: &data,
            first_boot,
            rotate: self.rotate,
        };
        let provisioned = provision.write(&self.out)?;
        let (here, all) = (inventory.devices.len(), scenario.fleet.devices as usize);
        if here < all {
            complain(format_args!(
                "{} lists {here} of the {all} devices of {}: the run will wait for the others, as long as \
                 timing.gather-seconds; --set fleet.devices={here} leaves them out",
                self.fleet.display(),
                scenario.name
            ));
        }
        self.tell(&inventory, &provisioned);
        Ok(Ending::Finished)
    }

    fn first_boot(&self) -> anyhow::Result<Option<FirstBoot>> {
        let Some(path) = &self.ssh_key else { return Ok(None) };
        let read = |path: &PathBuf| fs::read_to_string(path).with_context(|| path.display().to_string());
        let authorized_keys = read(path)?;
        if authorized_keys.contains("PRIVATE KEY") {
            let message =
                format!("--ssh-key {}: a private key; give the public one beside it", path.display());
            return Err(UsageError(message).into());
        }
        let public = authorized_keys
            .lines()
            .any(|line| line.starts_with("ssh-") || line.starts_with("ecdsa-") || line.starts_with("sk-"));
        ensure!(public, "{}: no public key of ssh, as in ~/.ssh/id_ed25519.pub", path.display());
        let wifi = match (&self.wifi, &self.wifi_passphrase_file, &self.wifi_country) {
            (Some(ssid), Some(file), Some(country)) => Some(Wifi {
                ssid: ssid.clone(),
                passphrase: read(file)?.trim_end_matches(['\r', '\n']).to_owned(),
                country: country.clone(),
            }),
            _ => None,
        };
        Ok(Some(FirstBoot { authorized_keys, wifi }))
    }

    #[expect(clippy::print_stdout, reason = "TODO")]
    fn tell(&self, inventory: &Inventory, provisioned: &Provisioned) {
        let (out, manifest) = (provisioned.folder.display(), &provisioned.manifest);
        let fleet = self.fleet.display();
        println!("fleet        {}, {} devices", inventory.name, inventory.devices.len());
        println!("scenario     {} ({})", manifest.scenario, &manifest.scenario_sha256[..12]);
        println!("broker       {}", manifest.broker);
        match manifest.certificates.values().map(|entry| entry.expires.as_str()).min() {
            Some(first) => {
                println!("certificates {}, the first expires on {first}", manifest.certificates.len());
            }
            None => println!("certificates none: mqtt:// is neither encrypted nor authenticated"),
        }
        println!("files        {}, {} new or changed", manifest.files.len(), provisioned.changed.len());
        if let Some(retired) = &provisioned.retired {
            println!("retired      {}: remove it once every device is online again", retired.display());
        }
        println!("\nNext:");
        if inventory.broker.url.tls {
            println!("  sudo install -D -m 644 {out}/broker/outpost.conf /etc/mosquitto/conf.d/outpost.conf");
            println!("  sudo install -d /etc/mosquitto/outpost");
            println!(
                "  sudo install -o mosquitto -m 600 {out}/broker/ca.pem {out}/broker/broker.pem {out}/broker/broker.key {out}/broker/acl /etc/mosquitto/outpost/"
            );
            println!("  sudo systemctl restart mosquitto");
        }
        if self.ssh_key.is_some() {
            println!(
                "  copy {out}/devices/DEVICE/cloud-init/* onto the boot partition of each device's SD card"
            );
        }
        if inventory.devices.iter().any(|device| device.kind != Kind::Ssh) {
            // Clients that are not deployed are started by the bench.
            return println!(
                "  hil run {out}/aggregator/scenario.toml --on boards --fleet {fleet} --provisioned {out}"
            );
        }
        println!("  hil deploy {fleet} {out}");
        println!("  hil fleet status {fleet} {out}");
        let broker = &inventory.broker.url;
        let tls = format!(
            " --ca {out}/aggregator/ca.pem --cert {out}/aggregator/aggregator.pem --key {out}/aggregator/aggregator.key"
        );
        let tls = if broker.tls { tls.as_str() } else { "" };
        println!(
            "  aggregator-node {out}/aggregator/scenario.toml --shards {out}/aggregator/shards.toml --out runs/{} --broker \
             {broker}{tls}",
            manifest.scenario
        );
    }
}
