//! The process bench: one aggregator process and one client process for each device, over MQTT on this machine.

mod binaries;
mod child;
mod client;
mod fleet;
mod rounds;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aggregator_node::record::Summary;
use anyhow::{Context, bail, ensure};
use rim::BrokerAddress;

use crate::bench::{Bench, Task, Watch};
pub use binaries::Binaries;
use child::Child;
pub use client::ClientProgram;
use fleet::Fleet;
use rounds::NewRounds;

const POLL: Duration = Duration::from_millis(50);
/// How long processes may take to leave once the run is over, or once they are asked to.
const PARTING: Duration = Duration::from_secs(10);
/// How long the aggregator may take until its broker answers.
const START: Duration = Duration::from_secs(30);

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
    pub broker: Option<BrokerAddress>,
}

impl Processes {
    /// All of them this machine's own.
    pub fn native(binaries: Binaries, broker: Option<BrokerAddress>) -> Self {
        let Binaries { edge_client, aggregator_node } = binaries;
        Processes {
            name: "processes",
            aggregator_node,
            clients: vec![ClientProgram::native(edge_client)],
            broker,
        }
    }
}

impl Bench for Processes {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, task: &Task, watch: &Watch<'_>) -> anyhow::Result<Option<Summary>> {
        let fleet = Fleet::prepare(task)?;
        let mut rounds = NewRounds::of(&task.out);
        let (mut aggregator, broker) = self.start_aggregator(task, &fleet)?;
        if !wait_for(&broker, &mut aggregator)? {
            // Gone already: the run was complete, or could not begin.
            return end(&mut aggregator, &task.out, &mut Vec::new(), &fleet);
        }
        let mut clients = self.start_clients(&fleet, &broker)?;
        while !aggregator.has_ended()? {
            for record in rounds.poll()? {
                (watch.on_round)(&record);
            }
            for client in &mut clients {
                if let Some(failure) = client.fresh_failure()? {
                    tracing::warn!("{failure}");
                }
            }
            if watch.stopped() {
                aggregator.stop(PARTING)?;
                clients.iter_mut().try_for_each(|client| client.stop(PARTING))?;
                fleet.keep_logs(&task.out)?;
                return Ok(None);
            }
            sleep(POLL);
        }
        for record in rounds.poll()? {
            (watch.on_round)(&record);
        }
        end(&mut aggregator, &task.out, &mut clients, &fleet)
    }
}

impl Processes {
    fn start_aggregator(&self, task: &Task, fleet: &Fleet) -> anyhow::Result<(Child, BrokerAddress)> {
        let mut command = Command::new(&self.aggregator_node);
        command.arg(fleet.scenario()).arg("--out").arg(&task.out).arg("--datasets").arg(&task.datasets);
        command.args(["--bench", self.name(), "--topic-prefix", fleet.topic_prefix()]);
        let broker = if let Some(broker) = &self.broker {
            command.arg("--broker").arg(broker.to_string());
            broker.clone()
        } else {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            command.arg("--listen").arg(listen.to_string());
            listen.into()
        };
        Ok((Child::start("aggregator-node", command, &fleet.log("aggregator-node"))?, broker))
    }

    fn start_clients(&self, fleet: &Fleet, broker: &BrokerAddress) -> anyhow::Result<Vec<Child>> {
        ensure!(!self.clients.is_empty(), "there is no program for the clients");
        let start = |((device, config), program): (&(String, PathBuf), &ClientProgram)| {
            let mut command = program.command();
            command.arg("--config").arg(config).args(["--broker", &broker.to_string()]);
            // A client for itself, as on a board of one core: they share this machine's cores already.
            command.env("RAYON_NUM_THREADS", "1");
            Child::start(device, command, &fleet.log(device))
        };
        fleet.clients().iter().zip(self.clients.iter().cycle()).map(start).collect()
    }
}

/// Waits until the broker answers; false if the aggregator ended before.
fn wait_for(broker: &BrokerAddress, aggregator: &mut Child) -> anyhow::Result<bool> {
    let deadline = Instant::now() + START;
    while TcpStream::connect((broker.host.as_str(), broker.port)).is_err() {
        if aggregator.has_ended()? {
            return Ok(false);
        }
        if Instant::now() > deadline {
            bail!("the broker {broker} did not answer within {} s", START.as_secs());
        }
        sleep(POLL);
    }
    Ok(true)
}

/// The aggregator has ended: lets the clients leave, keeps the logs, and reads the summary.
fn end(
    aggregator: &mut Child,
    out: &Path,
    clients: &mut Vec<Child>,
    fleet: &Fleet,
) -> anyhow::Result<Option<Summary>> {
    let deadline = Instant::now() + PARTING;
    if aggregator.succeeded()? {
        // They have been told that the run is over. One that has not heard is stopped when it is dropped.
        while Instant::now() < deadline
            && !clients.iter_mut().all(|client| client.has_ended().unwrap_or(true))
        {
            sleep(POLL);
        }
    }
    clients.clear();
    aggregator.check()?;
    fleet.keep_logs(out)?;
    let path = out.join("summary.json");
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(Some(serde_json::from_slice(&text).with_context(|| path.display().to_string())?))
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on this machine")?;
    Ok(listener.local_addr()?.port())
}
