//! The process bench: one aggregator process and one client process for each device, over MQTT on this machine.

mod binaries;
pub(crate) mod child;
mod client;
mod fleet;
mod rounds;
mod running;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aggregator_node::record::Summary;
use anyhow::{Context, bail};
use rim::BrokerAddress;

use crate::bench::{Bench, Task, Watch};
use crate::faults::{Player, Step};
pub use binaries::Binaries;
use child::Child;
pub use client::ClientProgram;
use fleet::Fleet;
use rounds::NewRounds;
use running::Running;

const POLL: Duration = Duration::from_millis(50);
/// How often it is looked whether a fault is due: a round may take a few milliseconds.
const FAULT_POLL: Duration = Duration::from_millis(5);
/// How long processes may take to leave once the run is over, or once they are asked to.
const PARTING: Duration = Duration::from_secs(10);
/// How long a broker may take until it answers.
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
    /// What goes wrong.
    pub faults: Vec<Step>,
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
            faults: Vec::new(),
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
        let mut running = Running::start(self, task, &fleet)?;
        let mut faults = Player::new(&self.faults);
        let pause = if self.faults.is_empty() { POLL } else { FAULT_POLL };
        while !running.is_over()? {
            if let Err(error) = faults.play(&mut running) {
                fleet.keep_logs(&task.out)?;
                return Err(error);
            }
            for record in rounds.poll()? {
                (watch.on_round)(&record);
            }
            for failure in running.fresh_failures()? {
                tracing::warn!("{failure}");
            }
            if watch.stopped() {
                running.stop()?;
                fleet.keep_logs(&task.out)?;
                return Ok(None);
            }
            sleep(pause);
        }
        for record in rounds.poll()? {
            (watch.on_round)(&record);
        }
        end(running, &faults, &task.out, &fleet)
    }
}

/// Waits until the broker answers; false if the process that brings it ended before.
pub(crate) fn wait_for(broker: &BrokerAddress, bringing: &mut Child) -> anyhow::Result<bool> {
    let deadline = Instant::now() + START;
    while TcpStream::connect((broker.host.as_str(), broker.port)).is_err() {
        if bringing.has_ended()? {
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
fn end(mut running: Running, faults: &Player, out: &Path, fleet: &Fleet) -> anyhow::Result<Option<Summary>> {
    let deadline = Instant::now() + PARTING;
    if running.succeeded()? {
        // They have been told that the run is over. One that has not heard is stopped when it is dropped.
        while Instant::now() < deadline && !running.all_have_left() {
            sleep(POLL);
        }
    }
    running.end()?;
    fleet.keep_logs(out)?;
    faults.check_all_played()?;
    let path = out.join("summary.json");
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(Some(serde_json::from_slice(&text).with_context(|| path.display().to_string())?))
}

/// The address of a broker of this machine.
pub(crate) fn local_broker(port: u16) -> BrokerAddress {
    BrokerAddress { host: Ipv4Addr::LOCALHOST.to_string(), port, tls: false }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on this machine")?;
    Ok(listener.local_addr()?.port())
}
