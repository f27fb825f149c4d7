//! `hil provision`.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use input::toml_file;
use link::complain;
use scenario::Scenario;
use scenario::catalogue::Catalogue;

use super::common::{Common, Ending, UsageError};
use super::next_steps::{Done, Programs, next_steps};
use crate::data::FleetData;
use crate::fleet::inventory::Inventory;
use crate::fleet::provision::{
    FirstBoot, FirstToExpire, Keys, Provision, Provisioned, RENEW_WITHIN_DAYS, Wifi, WifiError, login_keys,
};

/// Write everything a fleet needs to run a scenario: certificates, configurations, shards, SD card files
///
///   cargo hil provision shelf.toml scenario.toml --out fleet --ssh-key ~/.ssh/id_ed25519.pub
///   cargo hil deploy shelf.toml fleet
///
/// The folder is closed to others and nothing secret leaves it. The same command again keeps the keys, renews
/// certificates that end soon, removes devices that have left the inventory, and replaces what has changed; --rotate
/// replaces keys and authority, too, and keeps the old ones aside. docs/deploy.md goes through it step by step.
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
    /// Renew certificates that have fewer days left
    #[arg(long, value_name = "DAYS", default_value_t = RENEW_WITHIN_DAYS)]
    renew_within: u16,
    /// Replace the certificate authority and all keys at once: nothing issued before is trusted any more
    #[arg(long)]
    rotate: bool,
    /// Begin a transition to another authority: both are trusted until --end-transition
    #[arg(long, conflicts_with = "rotate")]
    new_authority: bool,
    /// Trust the newer of two authorities alone, once every device has its certificate
    #[arg(long, conflicts_with_all = ["rotate", "new_authority"])]
    end_transition: bool,
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
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let inventory = Inventory::load(&self.fleet)?;
        let scenario = Arc::new(self.common.load(catalogue, &self.scenario)?);
        inventory.check(&scenario)?;
        let first_boot = self.first_boot()?;
        let data = FleetData::load(&scenario, &self.common.folder.path())?;
        let provision = Provision {
            inventory: &inventory,
            scenario: scenario.clone(),
            data: &data,
            first_boot,
            keys: match (self.rotate, self.new_authority, self.end_transition) {
                (true, ..) => Keys::Rotate,
                (_, true, _) => Keys::NewAuthority,
                (.., true) => Keys::EndTransition,
                _ => Keys::Keep,
            },
            renew_within_days: self.renew_within,
        };
        let provisioned = provision.write(&self.out)?;
        let (here, all) = (inventory.devices.len(), scenario.fleet.devices as usize);
        if here < all {
            complain(format_args!(
                "{} lists {here} of the {all} devices of {}: a run will wait for the others, as long as \
                 timing.gather-seconds, unless --without names them",
                self.fleet.display(),
                scenario.name
            ));
        }
        link::print(self.summary(&inventory, &scenario, &provisioned).trim_end())?;
        Ok(Ending::Finished)
    }

    fn first_boot(&self) -> anyhow::Result<Option<FirstBoot>> {
        let Some(path) = &self.ssh_key else { return Ok(None) };
        let login_keys = login_keys(&toml_file::read(path)?)
            .map_err(|error| UsageError(format!("--ssh-key {}: {error}", path.display())))?;
        let wifi = match (&self.wifi, &self.wifi_passphrase_file, &self.wifi_country) {
            (Some(ssid), Some(file), Some(country)) => {
                let text = toml_file::read(file)?;
                let passphrase = text.strip_suffix('\n').map_or(&*text, |line| line.trim_end_matches('\r'));
                Some(Wifi::new(ssid, passphrase, country).map_err(|error| {
                    UsageError(match error {
                        WifiError::Ssid(_) => format!("--wifi {error}"),
                        WifiError::Country(_) => format!("--wifi-country {error}"),
                        _ => format!("--wifi-passphrase-file {}: {error}", file.display()),
                    })
                })?)
            }
            _ => None,
        };
        Ok(Some(FirstBoot { login_keys, wifi }))
    }

    /// What was done, and what to do next.
    fn summary(&self, inventory: &Inventory, scenario: &Scenario, provisioned: &Provisioned) -> String {
        let manifest = &provisioned.manifest;
        let mut text = String::new();
        // Writing into a string does not fail.
        _ = writeln!(text, "fleet        {}, {} devices", inventory.name, inventory.devices.len());
        _ = writeln!(text, "scenario     {} ({})", manifest.scenario, &manifest.scenario_sha256[..12]);
        _ = writeln!(text, "broker       {}", manifest.broker);
        match manifest.first_to_expire() {
            Some(FirstToExpire { name, day, days_left }) => {
                let (all, new) = (manifest.certificates.len(), provisioned.issued.len());
                _ = writeln!(
                    text,
                    "certificates {all}, {new} of them new; the first, of {name}, expires on {day}, in {days_left} days"
                );
            }
            None => _ = writeln!(text, "certificates none: mqtt:// is neither encrypted nor authenticated"),
        }
        _ = writeln!(
            text,
            "files        {}, {} new or changed",
            manifest.files.len(),
            provisioned.changed.len()
        );
        if !provisioned.removed.is_empty() {
            _ = writeln!(
                text,
                "removed      {}: not in the inventory any more; the broker shuts them out once it has its new files",
                provisioned.removed.join(", ")
            );
        }
        if let Some(retired) = &provisioned.retired {
            _ = writeln!(
                text,
                "retired      {}: remove it once every device is online again",
                retired.display()
            );
        }
        if manifest.certificates.contains_key("earlier authority") {
            _ = writeln!(
                text,
                "transition   two authorities are trusted: give the broker its new files, deploy to every device, then provision \
                 with --end-transition"
            );
        }
        _ = writeln!(text, "\nNext:");
        let datasets = self.common.folder.path();
        let (fleet, cards) = (self.fleet.as_path(), self.ssh_key.is_some());
        let done = Done { inventory, fleet, provisioned, scenario, datasets: &datasets, cards };
        for step in next_steps(&done, &Programs::as_started()) {
            _ = writeln!(text, "  {step}");
        }
        text
    }
}
