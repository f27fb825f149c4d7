//! Deployment over ssh: it uploads what has changed, swaps releases, waits for each device at the broker, and rolls back a
//! release that does not come up.
//!
//! ```text
//!  /opt/outpost/current -> releases/20260102-101500-1a2b3c4d     swapped in one step
//!  /opt/outpost/releases/20260102-101500-1a2b3c4d/edge-client, client.toml, ...
//!  /opt/outpost/releases/20260101-090000-5e6f7a8b/...            what to go back to
//!
//!  look ─► stage what is unchanged ─► put the rest, by digest ─► complete ─► activate ─► start ─► online?
//!                                                                               ▲                 │ no
//!                                                                               └── the earlier ──┘
//! ```
//!
//! Each step is one command on the device, which takes effect as a whole or not at all, so that an interruption anywhere
//! leaves the device with a complete release in use.

mod architecture;
mod claim;
mod device;
mod line;
mod placing;
mod release;
mod ssh;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::fleet::boards::Board;
use crate::fleet::inventory::{Device, Inventory, Kind};
use crate::fleet::provision::Manifest;
use crate::fleet::status::{Access, Statuses};
use crate::fleet::toolchain::{FLEET_PROFILE, programs_folder};
use crate::terminal::table::align;
pub(crate) use claim::Claim;
use device::Deployment;
pub use device::Outcome;
pub(crate) use line::{DeviceReport, Line};
pub(crate) use placing::{Survey, place};
pub(crate) use release::{Binary, Release};
pub(crate) use ssh::{Ssh, SshError, last_words, quoted};

/// How long the broker may take to tell what it has kept of the devices.
const SETTLING: Duration = Duration::from_secs(2);

/// How to deploy.
#[derive(Clone, Debug)]
pub struct Deploy {
    /// The client for all devices; without one, each board's own.
    pub binary: Option<PathBuf>,
    /// Handed to ssh as they are.
    pub ssh_options: Vec<OsString>,
    /// How long a device may take until it is online.
    pub wait: Duration,
    /// Devices at a time.
    pub jobs: usize,
    /// Whether devices are taken from another's run or deployment.
    pub take_over: bool,
}

/// A device, and what became of it.
pub type Deployed = (String, Outcome);

impl Deploy {
    /// Deploys what `folder` holds to `devices` of the fleet. Once `stop` is set no further device is begun; those under
    /// way come to their end.
    ///
    /// # Errors
    /// What stands in the way of all devices: the folder, a binary, the broker. What happens to a single device is
    /// its [`Outcome`].
    pub fn run(
        &self,
        inventory: &Inventory,
        devices: &[&Device],
        folder: &Path,
        stop: &AtomicBool,
        told: &(dyn Fn(&str, &str) + Sync),
    ) -> anyhow::Result<Vec<Deployed>> {
        let manifest = Manifest::load(folder, &inventory.name)?;
        manifest.check_broker(folder, inventory)?;
        let names: Vec<String> = devices.iter().map(|device| device.id.to_string()).collect();
        let names: Vec<&str> =
            ["broker", "operator"].into_iter().chain(names.iter().map(String::as_str)).collect();
        if let Some(warning) = manifest.check_dates(folder, &names)? {
            tracing::warn!("{warning}");
        }
        let broker = &inventory.broker.url;
        let mut work = Vec::new();
        for &device in devices {
            ensure!(device.kind == Kind::Ssh, "{}: only devices of kind `ssh` are deployed to", device.id);
            let path = match &self.binary {
                Some(path) => path.clone(),
                None => built_for(device, &beside_this_program()?)
                    .context("without --binary FILE each device gets the client of its board")?,
            };
            work.push((device, Release::of(folder, device, broker, &Binary::read(&path)?)?));
        }
        let ids: Vec<_> = devices.iter().map(|device| device.id).collect();
        let statuses = Statuses::watch(&Access::new(broker, Some(folder))?, &ids)?;
        statuses.settle(&ids, SETTLING);
        let claim = Claim::new("a deployment of", folder, self.take_over);
        let scratch = TempDir::with_prefix("outpost-").context("no temporary folder")?;

        let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let worker = || {
            while let Some((device, release)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                let name = device.label();
                let outcome = if stop.load(Ordering::Relaxed) {
                    Outcome::NotBegun
                } else {
                    let tell = |what: &str| told(&name, what);
                    let ssh = Ssh::new(device, &self.ssh_options, scratch.path());
                    let (claim, statuses, wait) = (&claim, &statuses, self.wait);
                    let deployment = Deployment { device, ssh, claim, release, statuses, wait, tell: &tell };
                    deployment.run(stop)
                };
                told(&name, &outcome.to_string());
                if let Ok(mut outcomes) = outcomes.lock() {
                    outcomes.push((name, outcome));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, work.len().max(1)) {
                scope.spawn(worker);
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_default();
        outcomes.sort_by(|(a, _): &Deployed, (b, _)| a.cmp(b));
        Ok(outcomes)
    }
}

/// The client of this machine.
fn beside_this_program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("where this program lies")?;
    Ok(this.with_file_name("edge-client"))
}

/// The client that was built for a device's board; for a device without one `native`, that of this machine.
pub(crate) fn built_for(device: &Device, native: &Path) -> anyhow::Result<PathBuf> {
    let Some(board) = &device.board else {
        ensure!(native.is_file(), "{}: no such program; cargo build --release builds it", native.display());
        return Ok(native.to_owned());
    };
    let target = Board::find(board)?.target;
    let folder = programs_folder(&target);
    let candidates = [FLEET_PROFILE, "release"].map(|profile| folder.join(profile).join("edge-client"));
    candidates.iter().find(|path| path.is_file()).cloned().with_context(|| {
        format!(
            "{}: no client for {}; `cargo hil build --target {target}` builds it",
            candidates[0].display(),
            device.id
        )
    })
}

/// The outcomes as a table for a terminal.
pub fn table(outcomes: &[Deployed]) -> String {
    let mut lines =
        vec![["device", "now", "release in use", "uploaded", "unchanged"].map(ToOwned::to_owned).to_vec()];
    lines.extend(outcomes.iter().map(|(name, outcome)| {
        let [word, release, uploaded, unchanged] = outcome.cells();
        vec![name.clone(), word, release, uploaded, unchanged]
    }));
    align(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_was_never_built_is_named_with_the_command_that_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        let board = folder.path().join("mine.toml");
        let profile = "name = \"mine\"\ntarget = \"mips-unknown-linux-gnu\"\nmemory-mib = 64\ncores = 1\n";
        std::fs::write(&board, profile).unwrap();
        let text = format!(
            "name = \"one\"\n[broker]\nurl = \"mqtt://pi\"\n[[device]]\nid = \"device-000\"\nkind = \"ssh\"\n\
             address = \"pi\"\nboard = \"{}\"\n",
            board.display()
        );
        let device = Inventory::parse("one.toml", &text).unwrap().devices.remove(0);
        let error = built_for(&device, Path::new("")).unwrap_err().to_string();
        for part in ["device-000", "cargo hil build --target mips-unknown-linux-gnu"] {
            assert!(error.contains(part), "no `{part}` in: {error}");
        }
        // An option that not every command has that asks for this.
        assert!(!error.contains("--binary"), "{error}");
    }
}
