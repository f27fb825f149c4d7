//! The boards bench: the devices of an inventory, wherever each of them is.
//!
//! # Layout
//! - `route.rs`: how this machine and the devices reach the broker.
//! - `fleet.rs`: what the devices receive, and the one place that knows which kind of device takes which host.
//! - `remote.rs`: the host of a client on a machine that is reached over ssh; `power.rs`: switching its power.
//!
//! ```text
//!  the run's directory ─► provision ─► claim the devices ─► bring files there ─► aggregator ─► start the clients ─► rounds
//!      ─► stop them, fetch their logs
//! ```
//!
//! A run that is refused is refused before a device is touched.

mod fleet;
mod power;
mod remote;
mod route;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail, ensure};
use fleet::Fleet;
use record::{FollowedRun, Summary};
use route::Route;
use tempfile::TempDir;
use wire::identity::DeviceId;

use crate::benches::processes::{Aggregator, Binaries, Hosts, Running, all_well, at_every_host, conduct};
use crate::benches::{Bench, Task, Watch};
use crate::faults::{Host, Step};
use crate::fleet::deploy::{Claim, SshError};
use crate::fleet::inventory::{Inventory, Kind};

/// The boards bench.
#[derive(Clone, Debug)]
pub struct Boards {
    /// The devices.
    pub inventory: Inventory,
    /// Aggregator, and the client of devices that are processes of this machine.
    pub binaries: Binaries,
    /// What `hil provision` wrote; without it, the bench provisions the fleet itself, beside the run's directory.
    pub provisioned: Option<PathBuf>,
    /// Handed to ssh as they are.
    pub ssh_options: Vec<OsString>,
    /// The folder with what emulated boards boot, in place of the usual one.
    pub kernel: Option<PathBuf>,
    /// Whether clients of other processors are brought up to date first.
    pub fresh: bool,
    /// What goes wrong.
    pub faults: Vec<Step>,
    /// Called with a device and what is done to it before the run.
    pub told: fn(DeviceId, &str),
    /// Devices of the scenario that are left out: ids, names or tags.
    pub without: Vec<String>,
    /// Devices that are seen to at a time.
    pub jobs: usize,
    /// Whether devices are taken from another's run or deployment.
    pub take_over: bool,
}

impl Boards {
    /// The aggregator: with a broker that is `there`, or with the one that it brings. Nobody waits for `absent` devices.
    fn aggregator(
        &self,
        task: &Task,
        fleet: &Fleet,
        route: &Route,
        there: bool,
        absent: &BTreeSet<DeviceId>,
    ) -> Aggregator {
        let folder = fleet.aggregator_folder();
        let mut command = Aggregator::command(&self.binaries.aggregator_node, &folder, task, self.name());
        match route.listen {
            // The inventory says so by naming the address.
            Some(address) if !there => command.args(["--listen", &address.to_string(), "--trust-network"]),
            _ => command.args(["--broker", &route.here.to_string()]),
        };
        if route.here.tls {
            for (option, name) in
                [("--ca", "ca.pem"), ("--cert", "aggregator.pem"), ("--key", "aggregator.key")]
            {
                command.arg(option).arg(folder.join(name));
            }
        }
        for device in absent {
            command.args(["--without", &device.to_string()]);
        }
        // Of clients elsewhere nobody tells what they do, and half the truth would look like an attack that fell short.
        let attackers = task.scenario.attackers();
        let mut compromised = self.inventory.devices.iter().filter(|device| attackers.contains(&device.id));
        if compromised.all(|device| matches!(device.kind, Kind::Native | Kind::QemuUser)) {
            command.arg("--attack-log").arg(fleet.attack_log());
        }
        Aggregator::new(&command, fleet.log("aggregator-node"))
    }

    /// The devices of the scenario that are left out. All others must be in the inventory: the run would wait for devices
    /// that nobody starts.
    fn left_out(&self, task: &Task) -> anyhow::Result<BTreeSet<DeviceId>> {
        let (file, scenario) = (self.inventory.file(), &task.scenario);
        let wanted = scenario.fleet.devices;
        let absent = self.inventory.choose(&self.without, wanted).map_err(anyhow::Error::msg);
        let absent = absent.context("--without")?;
        let here: BTreeSet<DeviceId> = self.inventory.devices.iter().map(|device| device.id).collect();
        let missing: Vec<String> = scenario
            .devices()
            .filter(|id| !here.contains(id) && !absent.contains(id))
            .map(|id| id.to_string())
            .collect();
        let (count, needed) = (here.len(), here.last().map_or(0, |last| last.0 + 1));
        if needed as usize == count && (needed > wanted || !missing.is_empty()) {
            bail!(
                "{file}: {count} devices, but {} wants fleet.devices = {wanted}; give --set fleet.devices={count}",
                scenario.name
            );
        }
        if needed > wanted {
            let gaps = (0..needed).map(DeviceId).filter(|id| !here.contains(id)).map(|id| id.to_string());
            bail!(
                "{file}: ids up to {}, but {} has fleet.devices = {wanted}; give --set fleet.devices={needed} --without {}",
                DeviceId(needed - 1),
                scenario.name,
                gaps.collect::<Vec<_>>().join(",")
            );
        }
        ensure!(
            missing.is_empty(),
            "{file}: {} wants fleet.devices = {wanted}, and there is no {}; add it, or give --without {}",
            scenario.name,
            missing.join(", "),
            missing.join(",")
        );
        self.inventory.check(scenario)?;
        let present = scenario.selection(1).iter().filter(|id| !absent.contains(id)).count();
        scenario.check_updates(present).context("--without")?;
        Ok(absent)
    }

    /// Does something at every host. Devices that are out of reach, or do not answer, are added to `absent` if the scenario
    /// can do without them.
    fn at_every_host(
        &self,
        task: &Task,
        hosts: &mut Hosts,
        absent: &mut BTreeSet<DeviceId>,
        act: impl Fn(&mut dyn Host) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let errors = at_every_host(hosts, self.jobs, act);
        let is_away = |error: &anyhow::Error| error.downcast_ref().is_some_and(SshError::is_of_absence);
        let all_away = errors.values().all(is_away) && self.faults.is_empty();
        let away: BTreeSet<DeviceId> = errors.keys().copied().collect();
        let present =
            task.scenario.selection(1).iter().filter(|id| !absent.contains(id) && !away.contains(id)).count();
        if errors.is_empty() || !all_away {
            return all_well(errors.into_values().collect());
        }
        if let Err(few) = task.scenario.check_updates(present) {
            let all = all_well(errors.into_values().collect());
            return all.map_err(|all| anyhow!("{all:#}; without it, {few}"));
        }
        for (device, error) in errors {
            tracing::warn!("{error:#}; the run goes on without it");
            hosts.remove(&device);
            absent.insert(device);
        }
        Ok(())
    }
}

impl Bench for Boards {
    fn name(&self) -> &'static str {
        "boards"
    }

    fn run(&self, task: &Task, watch: &Watch<'_>) -> anyhow::Result<Option<Summary>> {
        let mut absent = self.left_out(task)?;
        if let Some(summary) = task.finished(self.name())? {
            return Ok(Some(summary));
        }
        let route = Route::of(&self.inventory.broker)?;
        route.check_answers()?;
        let scratch = TempDir::with_prefix("outpost-").context("no temporary folder")?;
        let fleet = Fleet::provision(self, task, &scratch)?;
        let mosquitto =
            if self.faults.iter().any(Step::breaks_broker) { Some(route.mosquitto()?) } else { None };
        let links = route.links(&self.faults, &self.inventory.devices)?;
        let claim = Claim::new("run", &task.out, self.take_over);
        let mut hosts = Hosts::new();
        for device in self.inventory.devices.iter().filter(|device| !absent.contains(&device.id)) {
            let broker = route.broker_of(device, &links);
            let host = fleet.host(self, task, device, broker, &claim);
            hosts.insert(device.id, host.with_context(|| device.label())?);
        }
        // All are claimed before anything is done to any.
        let ready =
            self.at_every_host(task, &mut hosts, &mut absent, |host| host.reserve(watch.stop)).and_then(
                |()| self.at_every_host(task, &mut hosts, &mut absent, |host| host.prepare(watch.stop)),
            );
        if watch.stopped() {
            return Ok(None);
        }
        ready?;
        let aggregator = self.aggregator(task, &fleet, &route, mosquitto.is_some(), &absent);
        if let Some(parent) = task.out.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        let rounds = FollowedRun::of(&task.out);
        let catalogue = task.scenario.catalogue.clone();
        let running = Running { aggregator, hosts, links, mosquitto, rounds, catalogue, jobs: self.jobs };
        conduct(running, &route.here, &self.faults, watch)
    }
}
