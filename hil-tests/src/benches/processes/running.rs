//! A fleet at work: its aggregator, its clients wherever they run, and what faults can do to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use link::BrokerAddress;
use record::{FollowedRun, State, StoredRun, make_folder};
use scenario::catalogue::Catalogue;
use wire::identity::DeviceId;

use super::PARTING;
use super::aggregator::Aggregator;
use crate::faults::{FaultTarget, Host, Mosquitto, Proxy, Step, Surroundings};
use crate::system::Child;

/// Hosts that are seen to at a time, where that takes time, unless said otherwise: an sshd takes ten logins at a time.
pub(crate) const JOBS: usize = 8;

/// The hosts of a fleet.
pub(crate) type Hosts = BTreeMap<DeviceId, Box<dyn Host>>;

/// What stands between devices and the broker, for those whose link is to fail.
pub(crate) type Links = BTreeMap<DeviceId, Proxy>;

/// A fleet at work.
pub(crate) struct Running {
    pub(crate) aggregator: Aggregator,
    pub(crate) hosts: Hosts,
    pub(crate) links: Links,
    /// A broker of its own, if one is to fail.
    pub(crate) mosquitto: Option<Mosquitto>,
    /// What comes of it.
    pub(crate) rounds: FollowedRun,
    /// What its record is read by.
    pub(crate) catalogue: Arc<Catalogue>,
    /// Hosts that are seen to at a time.
    pub(crate) jobs: usize,
}

/// A proxy before `broker` for each device whose link is to fail.
pub(crate) fn links(steps: &[Step], broker: &BrokerAddress) -> anyhow::Result<Links> {
    // Once each: a link may fail again and again.
    let devices: BTreeSet<DeviceId> = steps.iter().filter_map(Step::failing_link).collect();
    devices.into_iter().map(|device| Ok((device, Proxy::before(broker)?))).collect()
}

impl Running {
    /// Starts everything; without clients if the aggregator ends before `broker` answers.
    pub(super) fn start(&mut self, broker: &BrokerAddress) -> anyhow::Result<()> {
        self.aggregator.start()?;
        if self.aggregator.wait_for(broker)? {
            self.each(|host| host.start(&Surroundings::default()))?;
        }
        Ok(())
    }

    /// Whether the aggregator has ended by itself.
    pub(super) fn is_over(&mut self) -> anyhow::Result<bool> {
        self.aggregator.process().map_or(Ok(false), Child::has_ended)
    }

    /// Last words of clients that have ended badly, each once.
    pub(super) fn fresh_failures(&mut self) -> anyhow::Result<Vec<String>> {
        let mut failures = Vec::new();
        for host in self.hosts.values_mut() {
            failures.extend(host.fresh_failure()?);
        }
        Ok(failures)
    }

    /// Asks all of them to stop, the aggregator first.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(aggregator) = self.aggregator.process() {
            aggregator.stop(PARTING)?;
        }
        self.each(|host| host.stop(PARTING))
    }

    /// Whether the aggregator has ended well.
    pub(super) fn succeeded(&mut self) -> anyhow::Result<bool> {
        self.aggregator.process().map_or(Ok(false), Child::succeeded)
    }

    /// Whether the aggregator has ended because it was asked to.
    pub(super) fn was_interrupted(&mut self) -> anyhow::Result<bool> {
        self.aggregator.process().map_or(Ok(false), Child::was_interrupted)
    }

    /// Whether all clients have left.
    pub(super) fn all_have_left(&mut self) -> bool {
        self.hosts.values_mut().all(|host| host.has_left().unwrap_or(true))
    }

    /// Ends the clients that have not left.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        self.each(|host| if host.has_left()? { Ok(()) } else { host.stop(Duration::ZERO) })
    }

    /// An error if the aggregator has ended badly.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.aggregator.process().map_or(Ok(()), Child::check)
    }

    /// Copies the logs into the run's directory.
    pub(super) fn keep_logs(&mut self) -> anyhow::Result<()> {
        // A folder that the aggregator has refused, or that another one writes, is none of this run's.
        let state = StoredRun::open(self.rounds.directory(), &self.catalogue).and_then(|run| run.state());
        if !state.is_ok_and(|state| state != State::InProgress) {
            return Ok(());
        }
        let logs = self.rounds.directory().join("logs");
        make_folder(&logs)?;
        let place = |name: &str| logs.join(name).with_extension("log");
        self.aggregator.keep_log(&place("aggregator-node"))?;
        self.each(|host| host.keep_log(&place(&host.device().to_string())))
    }

    /// Does something at every host, some at a time, and all of it. The error names every device that has one.
    fn each(&mut self, act: impl Fn(&mut dyn Host) -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
        all_well(at_every_host(&mut self.hosts, self.jobs, act).into_values().collect())
    }
}

/// Does something at every host, at `jobs` of them at a time, and gives the errors.
pub(crate) fn at_every_host(
    hosts: &mut Hosts,
    jobs: usize,
    act: impl Fn(&mut dyn Host) -> anyhow::Result<()> + Sync,
) -> BTreeMap<DeviceId, anyhow::Error> {
    let jobs = jobs.clamp(1, hosts.len().max(1));
    // One that takes its time keeps nobody else waiting.
    let (queue, errors) = (Mutex::new(hosts.iter_mut()), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let Some((device, host)) = lock(&queue).next() else { return };
            if let Err(error) = act(host.as_mut()) {
                lock(&errors).insert(*device, error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    errors.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of all `errors`, if there are any.
pub(crate) fn all_well(mut errors: Vec<anyhow::Error>) -> anyhow::Result<()> {
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => bail!("{}", errors.iter().map(|error| format!("{error:#}")).collect::<Vec<_>>().join("; ")),
    }
}

impl FaultTarget for Running {
    fn recorded(&mut self) -> anyhow::Result<u32> {
        Ok(self.rounds.recorded()?)
    }

    fn host(&mut self, device: DeviceId) -> anyhow::Result<&mut dyn Host> {
        let host = self.hosts.get_mut(&device).with_context(|| format!("{device} is not of this fleet"))?;
        Ok(host.as_mut())
    }

    fn link(&self, device: DeviceId) -> anyhow::Result<&Proxy> {
        self.links.get(&device).with_context(|| format!("nothing stands between {device} and the broker"))
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
        self.aggregator.kill();
        Ok(())
    }

    fn start_aggregator(&mut self) -> anyhow::Result<()> {
        self.aggregator.start()
    }
}
