//! The process bench: one aggregator process and one client process for each device, over MQTT on this machine.
//!
//! # Layout
//! - `local.rs`: the [`Host`](crate::faults::Host) of a process of this machine.
//! - `running.rs`: a fleet at work, wherever its clients run, as faults see it; `conduct.rs`: a run from its start to its end.
//! - `client.rs`, `aggregator.rs`: what a process is started with; `binaries.rs`: where the programs are.
//! - `fleet.rs`: the files of the processes of this bench.

mod aggregator;
mod binaries;
mod client;
mod conduct;
mod fleet;
mod local;
mod running;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use link::{BrokerAddress, BrokerOptions};
use record::{FollowedRun, Summary};
use wire::{Topic, Topics};

use crate::benches::{Bench, Task, Watch};
use crate::faults::{Mosquitto, Proxy, Step};
use crate::fleet::retained;
use crate::system::held_port::HeldPort;
pub(crate) use aggregator::Aggregator;
pub use binaries::Binaries;
pub use client::ClientProgram;
pub(crate) use conduct::conduct;
use fleet::Fleet;
pub(crate) use local::ProcessHost;
use running::links;
pub(crate) use running::{Hosts, JOBS, Links, Running, all_well, at_every_host};

const POLL: Duration = Duration::from_millis(50);
/// How long processes may take to leave once the run is over, or once they are asked to.
const PARTING: Duration = Duration::from_secs(10);

/// A broker that is already running, and how all processes speak to it.
#[derive(Clone, Debug)]
pub struct RunningBroker {
    /// Where it is.
    pub address: BrokerAddress,
    /// Files for its TLS, and a login.
    pub access: BrokerOptions,
}

/// The process bench.
#[derive(Clone, Debug)]
pub struct Processes {
    /// The bench's name.
    pub name: &'static str,
    /// The aggregator.
    pub aggregator_node: PathBuf,
    /// The clients: the devices take one after the other, in order of device, and begin anew at the end.
    pub clients: Vec<ClientProgram>,
    /// A broker that is already running, in place of the aggregator's own.
    pub broker: Option<RunningBroker>,
    /// What goes wrong.
    pub faults: Vec<Step>,
}

impl Processes {
    /// All of them this machine's own.
    pub fn native(binaries: Binaries, broker: Option<RunningBroker>) -> Self {
        let Binaries { edge_client, aggregator_node } = binaries;
        Processes {
            name: "processes",
            aggregator_node,
            clients: vec![ClientProgram::native(edge_client)],
            broker,
            faults: Vec::new(),
        }
    }

    /// The broker's address, and the aggregator: with the broker that is `given`, or one that it brings and that
    /// listens at `port`.
    fn aggregator(
        &self,
        task: &Task,
        fleet: &Fleet,
        given: Option<BrokerAddress>,
        port: &HeldPort,
    ) -> (BrokerAddress, Aggregator) {
        let mut command = Aggregator::command(&self.aggregator_node, fleet.folder(), task, self.name);
        command.args(["--topic-prefix", fleet.topic_prefix()]).arg("--attack-log").arg(fleet.attack_log());
        let broker = if let Some(broker) = given {
            command.arg("--broker").arg(broker.to_string()).args(fleet.access().arguments());
            broker
        } else {
            command.args(["--listen", &port.address().to_string()]);
            port.address().into()
        };
        (broker, Aggregator::new(&command, fleet.log("aggregator-node")))
    }
}

impl Bench for Processes {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, task: &Task, watch: &Watch<'_>) -> anyhow::Result<Option<Summary>> {
        ensure!(!self.clients.is_empty(), "there is no program for the clients");
        if let Some(summary) = task.finished(self.name)? {
            return Ok(Some(summary));
        }
        let access = self.broker.as_ref().map(|broker| broker.access.clone()).unwrap_or_default();
        let fleet = Fleet::prepare(task, access)?;
        let mosquitto = self.faults.iter().any(Step::breaks_broker).then(Mosquitto::start).transpose()?;
        ensure!(
            mosquitto.is_none() || self.broker.is_none(),
            "a broker that is already running cannot be made to fail"
        );
        let given = self.broker.as_ref().map(|broker| broker.address.clone());
        let given = given.or_else(|| mosquitto.as_ref().map(Mosquitto::address));
        let port = HeldPort::local()?;
        let (broker, aggregator) = self.aggregator(task, &fleet, given, &port);
        let links = links(&self.faults, &broker)?;
        let mut hosts = Hosts::new();
        for ((device, config), program) in fleet.clients().iter().zip(self.clients.iter().cycle()) {
            let broker = links.get(device).map_or_else(|| broker.clone(), Proxy::address);
            let log = fleet.log(&device.to_string());
            let host = ProcessHost::new(*device, program.clone(), config, broker, &log);
            hosts.insert(*device, Box::new(host));
        }
        let rounds = FollowedRun::of(&task.out);
        let catalogue = task.scenario.catalogue.clone();
        let running = Running { aggregator, hosts, links, mosquitto, rounds, catalogue, jobs: JOBS };
        let outcome = conduct(running, &broker, &self.faults, watch);
        if let Some(broker) = &self.broker {
            tidy_up(broker, &fleet);
        }
        outcome
    }
}

/// Deletes what a fleet has left at a broker that outlives it.
fn tidy_up(broker: &RunningBroker, fleet: &Fleet) {
    let tidied = || -> anyhow::Result<()> {
        let topics = Topics::new(fleet.topic_prefix())?;
        let devices = fleet.clients().iter().map(|(device, _)| topics.name(Topic::Status(*device)));
        let retained = devices.chain([topics.name(Topic::Round)]);
        retained::delete(&broker.access.load(&broker.address)?, retained)
    };
    if let Err(error) = tidied() {
        let (prefix, address) = (fleet.topic_prefix(), &broker.address);
        tracing::warn!(
            "this run's retained messages stay at the broker: {error:#}; `hil broker clear {prefix} --broker {address}` deletes them"
        );
    }
}
