//! The boards bench: the devices of an inventory, wherever each of them is.
//!
//! # Layout
//! - `way.rs`: how this machine and the devices reach the broker.
//! - `fleet.rs`: what the devices are given, and the one place that knows which kind of device takes which seat.
//! - `remote.rs`: the seat of a client on a machine that is reached over ssh; `line.rs`: the line to it; `power.rs`:
//!   switching its power.
//!
//! ```text
//!  provision ─► bring files to the devices ─► aggregator ─► start the clients ─► rounds ─► stop them, fetch their logs
//! ```

mod fleet;
mod line;
mod power;
mod remote;
mod way;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use aggregator_node::record::Summary;
use anyhow::{Context, ensure};
use shared::identity::DeviceId;
use tempfile::TempDir;

use crate::bench::{Bench, Task, Watch};
use crate::faults::Step;
use crate::inventory::Inventory;
use crate::processes::{Aggregator, Binaries, Rounds, Running, Seats, conduct};
use fleet::Fleet;
use way::Way;

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
}

impl Boards {
    /// The aggregator: with a broker that is `there`, or with the one that it brings.
    fn aggregator(&self, task: &Task, fleet: &Fleet, way: &Way, there: bool) -> Aggregator {
        let folder = fleet.aggregator_folder();
        let mut command = Aggregator::command(&self.binaries.aggregator_node, &folder, task, self.name());
        match way.listen {
            Some(address) if !there => command.args(["--listen", &address.to_string()]),
            _ => command.args(["--broker", &way.here.to_string()]),
        };
        if way.here.tls {
            for (option, name) in
                [("--ca", "ca.pem"), ("--cert", "aggregator.pem"), ("--key", "aggregator.key")]
            {
                command.arg(option).arg(folder.join(name));
            }
        }
        Aggregator::new(&command, fleet.log("aggregator-node"))
    }

    /// The device count of inventory and scenario must agree: the run would wait for devices that nobody starts.
    fn check(&self, task: &Task) -> anyhow::Result<()> {
        self.inventory.check(&task.scenario)?;
        let (here, wanted) = (self.inventory.devices.len(), task.scenario.fleet.devices as usize);
        ensure!(
            here == wanted,
            "{}: {here} devices, but {} wants fleet.devices = {wanted}; give --set fleet.devices={here}",
            self.inventory.file(),
            task.scenario.name
        );
        Ok(())
    }
}

impl Bench for Boards {
    fn name(&self) -> &'static str {
        "boards"
    }

    fn run(&self, task: &Task, watch: &Watch<'_>) -> anyhow::Result<Option<Summary>> {
        self.check(task)?;
        let way = Way::of(&self.inventory.broker)?;
        way.check_answers()?;
        let scratch = TempDir::with_prefix("outpost-").context("no temporary folder")?;
        let fleet = Fleet::provision(self, task, &scratch)?;
        let mosquitto =
            if self.faults.iter().any(Step::breaks_broker) { Some(way.mosquitto()?) } else { None };
        let links = way.links(&self.faults, &self.inventory.devices)?;
        let mut seats = Seats::new();
        for device in &self.inventory.devices {
            let broker = way.broker_of(device, &links);
            let seat = fleet.seat(self, device, broker);
            seats.insert(device.id, seat.with_context(|| device.id.to_string())?);
        }
        let aggregator = self.aggregator(task, &fleet, &way, mosquitto.is_some());
        if let Some(parent) = task.out.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        let running = Running { aggregator, seats, links, mosquitto, rounds: Rounds::of(&task.out) };
        conduct(running, &way.here, &self.faults, watch)
    }
}
