//! `hil deploy`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use link::complain;

use super::common::{Ending, UsageError};
use crate::benches::processes::JOBS;
use crate::fleet::deploy::{Deploy, table};
use crate::fleet::inventory::{Device, Inventory, Kind};
use crate::system::stop::Stop;

/// Bring a provisioned fleet's devices up to date over ssh, and wait until each is online
///
///   cargo hil deploy shelf.toml fleet
///   cargo hil deploy shelf.toml fleet --only device-003,device-007
///   cargo hil deploy shelf.toml fleet --without pi-attic,greenhouse
///
/// Files that have not changed are not sent again. A device whose new release is not online in time goes back to the
/// one before. ssh must log in without asking, and know each device's host key. The broker must be running.
/// Exit code 1 if any device does not run what was deployed.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct DeployArgs {
    /// The inventory of the fleet
    fleet: PathBuf,
    /// The folder that `hil provision` wrote
    folder: PathBuf,
    /// These devices only, by id, name or tag [default: all of kind ssh]
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Not these, by id, name or tag
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',')]
    without: Vec<String>,
    /// The client for all of them [default: the one that was built for each device's board]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Hand this to ssh, as in --ssh-option=-F --ssh-option=my-config; may be repeated
    #[arg(long = "ssh-option", value_name = "WORD", allow_hyphen_values = true)]
    ssh_options: Vec<OsString>,
    /// Seconds that a device may take until it is online
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Devices at a time
    #[arg(long, value_name = "N", default_value_t = JOBS)]
    jobs: usize,
    /// Take devices that belong to another run or deployment, which goes on without them
    #[arg(long)]
    take_over: bool,
}

impl DeployArgs {
    /// Deploys.
    ///
    /// # Errors
    /// What stands in the way of all devices, or that some do not run what was deployed.
    pub(super) fn run(self, stop: &Stop) -> anyhow::Result<Ending> {
        let inventory = Inventory::load(&self.fleet)?;
        let devices = self.devices(&inventory)?;
        let deploy = Deploy {
            binary: self.binary,
            ssh_options: self.ssh_options,
            wait: Duration::from_secs(self.wait),
            jobs: self.jobs,
            take_over: self.take_over,
        };
        let told = |device: &str, what: &str| complain(format_args!("{device}: {what}"));
        let outcomes = deploy.run(&inventory, &devices, &self.folder, stop.gently(), &told)?;
        let printed = link::print(table(&outcomes).trim_end());
        let failed = outcomes.iter().filter(|(_, outcome)| !outcome.succeeded()).count();
        if failed == 0 {
            printed?;
            return Ok(Ending::Finished);
        }
        if stop.asked() {
            return Ok(Ending::Interrupted);
        }
        anyhow::bail!(
            "{failed} of {} devices do not run what was deployed, or have no data for it",
            outcomes.len()
        )
    }

    fn devices<'a>(&self, inventory: &'a Inventory) -> anyhow::Result<Vec<&'a Device>> {
        let choose = |option: &str, words: &[String]| {
            inventory.choose(words, 0).map_err(|error| UsageError(format!("{option} {error}")))
        };
        let (only, without) = (choose("--only", &self.only)?, choose("--without", &self.without)?);
        let chosen = |device: &&Device| {
            let wanted = if only.is_empty() { device.kind == Kind::Ssh } else { only.contains(&device.id) };
            wanted && !without.contains(&device.id)
        };
        let devices: Vec<&Device> = inventory.devices.iter().filter(chosen).collect();
        if devices.is_empty() {
            let file = self.fleet.display();
            let what = match (only.is_empty(), without.is_empty()) {
                (true, true) => "no device of kind `ssh`",
                _ => "--only and --without leave no device",
            };
            return Err(UsageError(format!("{file}: {what}, so there is nothing to deploy")).into());
        }
        Ok(devices)
    }
}
