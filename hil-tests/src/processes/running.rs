//! The processes of one run, and what faults can do to them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use rim::BrokerAddress;
use rustix::process::Signal;
use shared::identity::DeviceId;

use super::child::Child;
use super::client::ClientProgram;
use super::fleet::Fleet;
use super::{PARTING, Processes, free_port, local_broker, wait_for};
use crate::bench::{Bench, Task};
use crate::faults::{Mosquitto, Proxy, Stage, Step, Surroundings, Target};

/// A fleet at work.
pub(super) struct Running {
    arguments: AggregatorArguments,
    /// `None` while a fault keeps it away.
    aggregator: Option<Child>,
    clients: BTreeMap<DeviceId, Client>,
    /// Second clients of a name, which are to notice that and leave.
    twins: BTreeMap<DeviceId, Child>,
    /// A broker of its own, if one is to fail.
    mosquitto: Option<Mosquitto>,
    rounds: PathBuf,
}

/// All that the aggregator is started with.
struct AggregatorArguments {
    program: PathBuf,
    arguments: Vec<std::ffi::OsString>,
    log: PathBuf,
}

/// The client of one device.
struct Client {
    program: ClientProgram,
    config: PathBuf,
    broker: BrokerAddress,
    log: PathBuf,
    /// `None` while a fault keeps it away.
    process: Option<Child>,
    /// What stands between it and the broker, if its link is to fail.
    link: Option<Proxy>,
}

impl Running {
    /// Starts everything; without clients if the aggregator has ended before its broker answered.
    pub(super) fn start(bench: &Processes, task: &Task, fleet: &Fleet) -> anyhow::Result<Self> {
        ensure!(!bench.clients.is_empty(), "there is no program for the clients");
        let breaks = |step: &Step| step.fault.target() == Target::Broker;
        let mosquitto = bench.faults.iter().any(breaks).then(Mosquitto::start).transpose()?;
        ensure!(
            mosquitto.is_none() || bench.broker.is_none(),
            "a broker that is already running cannot be made to fail"
        );
        let given = bench.broker.clone().or_else(|| mosquitto.as_ref().map(Mosquitto::address));
        let (broker, arguments) = aggregator(bench, task, fleet, given)?;
        let mut aggregator = arguments.start()?;
        let mut clients = BTreeMap::new();
        if wait_for(&broker, &mut aggregator)? {
            for ((device, config), program) in fleet.clients().iter().zip(bench.clients.iter().cycle()) {
                let id: DeviceId = device.parse()?;
                let link = bench
                    .faults
                    .iter()
                    .any(|step| step.device == Some(id) && step.fault.needs() == Some("link"));
                let link = link.then(|| Proxy::before(&broker)).transpose()?;
                let mut client = Client {
                    program: program.clone(),
                    config: config.clone(),
                    broker: link.as_ref().map_or_else(|| broker.clone(), Proxy::address),
                    log: fleet.log(device),
                    process: None,
                    link,
                };
                client.process = Some(client.start(device, &Surroundings::default())?);
                clients.insert(id, client);
            }
        }
        let rounds = task.out.join("rounds.jsonl");
        Ok(Running {
            arguments,
            aggregator: Some(aggregator),
            clients,
            twins: BTreeMap::new(),
            mosquitto,
            rounds,
        })
    }

    /// Whether the aggregator has ended by itself.
    pub(super) fn is_over(&mut self) -> anyhow::Result<bool> {
        self.aggregator.as_mut().map_or(Ok(false), Child::has_ended)
    }

    /// Last words of clients that have ended badly, each once.
    pub(super) fn fresh_failures(&mut self) -> anyhow::Result<Vec<String>> {
        let mut failures = Vec::new();
        for child in self.children() {
            failures.extend(child.fresh_failure()?);
        }
        Ok(failures)
    }

    /// Asks all of them to stop, the aggregator first.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        self.aggregator.iter_mut().try_for_each(|aggregator| aggregator.stop(PARTING))?;
        self.children().try_for_each(|child| child.stop(PARTING))
    }

    /// Whether the aggregator has ended well.
    pub(super) fn succeeded(&mut self) -> anyhow::Result<bool> {
        self.aggregator.as_mut().map_or(Ok(false), Child::succeeded)
    }

    /// Whether all clients have left.
    pub(super) fn all_have_left(&mut self) -> bool {
        self.children().all(|child| child.has_ended().unwrap_or(true))
    }

    /// Ends the clients; an error if the aggregator has ended badly.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        self.clients.clear();
        self.aggregator.iter_mut().try_for_each(Child::check)
    }

    fn children(&mut self) -> impl Iterator<Item = &mut Child> {
        let clients = self.clients.values_mut().filter_map(|client| client.process.as_mut());
        clients.chain(self.twins.values_mut())
    }

    fn client(&mut self, device: DeviceId) -> anyhow::Result<&mut Client> {
        self.clients.get_mut(&device).with_context(|| format!("{device} is not of this fleet"))
    }

    fn signal(&mut self, device: DeviceId, signal: Signal) -> anyhow::Result<()> {
        let process = self.client(device)?.process.as_mut();
        process.with_context(|| format!("{device} is not running"))?.signal(signal)
    }
}

/// The broker's address, and how to start the aggregator: with the broker that is `given`, or one of its own.
fn aggregator(
    bench: &Processes,
    task: &Task,
    fleet: &Fleet,
    given: Option<BrokerAddress>,
) -> anyhow::Result<(BrokerAddress, AggregatorArguments)> {
    let mut command = Command::new(&bench.aggregator_node);
    command.arg(fleet.scenario()).arg("--out").arg(&task.out).arg("--datasets").arg(&task.datasets);
    command.args(["--bench", bench.name(), "--topic-prefix", fleet.topic_prefix()]);
    let broker = if let Some(broker) = given {
        command.arg("--broker").arg(broker.to_string());
        broker
    } else {
        let port = free_port()?;
        command.args(["--listen", &SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string()]);
        local_broker(port)
    };
    let arguments = command.get_args().map(ToOwned::to_owned).collect();
    let log = fleet.log("aggregator-node");
    Ok((broker, AggregatorArguments { program: bench.aggregator_node.clone(), arguments, log }))
}

impl AggregatorArguments {
    fn start(&self) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        Child::start("aggregator-node", command, &self.log)
    }
}

impl Client {
    fn start(&self, name: &str, surroundings: &Surroundings) -> anyhow::Result<Child> {
        let mut command = self.program.command();
        command.arg("--config").arg(&self.config).args(["--broker", &self.broker.to_string()]);
        // A client for itself, as on a board of one core: they share this machine's cores already.
        command.env("RAYON_NUM_THREADS", "1");
        Child::start(name, surroundings.around(command), &self.log)
    }
}

impl Stage for Running {
    fn recorded(&self) -> u32 {
        // No file is no round.
        let lines = fs::read_to_string(&self.rounds).unwrap_or_default();
        lines.matches('\n').count() as u32
    }

    fn freeze(&mut self, device: DeviceId) -> anyhow::Result<()> {
        self.signal(device, Signal::STOP)
    }

    fn thaw(&mut self, device: DeviceId) -> anyhow::Result<()> {
        self.signal(device, Signal::CONT)
    }

    fn kill(&mut self, device: DeviceId) -> anyhow::Result<()> {
        self.signal(device, Signal::KILL)?;
        self.client(device)?.process = None;
        Ok(())
    }

    fn start(&mut self, device: DeviceId, surroundings: &Surroundings) -> anyhow::Result<()> {
        let client = self.client(device)?;
        client.process = Some(client.start(&device.to_string(), surroundings)?);
        Ok(())
    }

    fn start_twin(&mut self, device: DeviceId) -> anyhow::Result<()> {
        let name = format!("{device}, the second");
        let twin = self.client(device)?.start(&name, &Surroundings::default())?;
        self.twins.insert(device, twin);
        Ok(())
    }

    fn check_twin_has_left(&mut self, device: DeviceId) -> anyhow::Result<()> {
        let twin = self.twins.get_mut(&device).with_context(|| format!("{device} has no second client"))?;
        ensure!(twin.has_ended()? && !twin.succeeded()?, "it has not left: {}", twin.last_words());
        Ok(())
    }

    fn link(&self, device: DeviceId) -> anyhow::Result<&Proxy> {
        let client = self.clients.get(&device).with_context(|| format!("{device} is not of this fleet"))?;
        client.link.as_ref().with_context(|| format!("nothing stands between {device} and the broker"))
    }

    fn stop_broker(&mut self, asked: bool) -> anyhow::Result<()> {
        let broker = self.mosquitto.as_mut().context("the broker is the aggregator's own")?;
        if asked {
            return broker.stop();
        }
        broker.kill();
        Ok(())
    }

    fn start_broker(&mut self) -> anyhow::Result<()> {
        self.mosquitto.as_mut().context("the broker is the aggregator's own")?.start_again()
    }

    fn kill_aggregator(&mut self) -> anyhow::Result<()> {
        // Dropped, it is killed.
        self.aggregator = None;
        Ok(())
    }

    fn start_aggregator(&mut self) -> anyhow::Result<()> {
        self.aggregator = Some(self.arguments.start()?);
        Ok(())
    }
}
