//! The rim: joins agent, worker, board, MQTT and the clock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use learning::data::ShardFile;
use learning::models;
use link::{Command, Computations, LastWill, Link, LinkEvent, LinkOptions, Supervisor, nonce};
use scenario::Scenario;
use scenario::catalogue::Catalogue;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};
use wire::identity::DeviceId;
use wire::{Millis, Topic};

use crate::agent::{Action, Agent, Event, Farewell, Identity};
use crate::attack_log::AttackLog;
use crate::attack_memory::AttackMemory;
use crate::config::Config;
use crate::echo::Echo;
use crate::telemetry::{Gauge, Sources, hardware};
use crate::worker::{Job, Outcome, Worker};

/// How long leaving may take.
const PARTING: Duration = Duration::from_secs(5);

/// How a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run is over.
    Finished,
    /// Asked to stop by a signal.
    Interrupted,
}

/// Runs a device until its run is over or `stop` resolves.
///
/// # Errors
/// If a file is unusable, the broker is away for too long, or another process has this device's name.
pub async fn run(
    config: Config,
    catalogue: &Catalogue,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Ending> {
    let scenario = Arc::new(catalogue.load(&config.scenario, &[])?);
    let device = config.device;
    ensure!(
        device.0 < scenario.fleet.devices,
        "{device} is not of this fleet: {} has fleet.devices = {}",
        config.scenario.display(),
        scenario.fleet.devices
    );
    let ShardFile { shard, digest, .. } = load_shard(&config.shard, &scenario, device)?;
    let model = models::build(&*scenario.model, shard.dataset().shape(), shard.dataset().classes())?;
    let identity = Identity {
        device,
        boot: nonce(),
        shard: digest,
        examples: shard.len() as u32,
        hardware: hardware().into(),
    };
    let start = Instant::now();
    let clock = move || Millis(start.elapsed().as_millis() as u64);
    let dimension = model.layout().dimension();
    let mut agent = Agent::new(identity.clone(), config.topics.clone(), &scenario, dimension, clock());
    let memory = Arc::new(config.attack_memory.clone().map(AttackMemory::at).unwrap_or_default());
    let worker = Arc::new(Worker::new(scenario, device, model.into(), shard).with_memory(memory));
    let mut attack_log = AttackLog::open(config.attack_log.as_deref())?;
    let mut gauge = Gauge::start(Sources::default());

    let mut link = open_link(&config, &agent);
    info!("{device}: {} examples, {dimension} parameters", identity.examples);

    let mut echo = Echo::new(config.topics.name(Topic::Status(device)));
    let mut supervisor = Supervisor::from_environment();
    supervisor.status(&format!("connecting to {}", config.access.broker));
    let mut computations = Computations::default();
    tokio::pin!(stop);
    loop {
        let alarm = agent.wake_at().map(|at| start + Duration::from_millis(at.0));
        let actions = tokio::select! {
            event = link.next() => match event {
                Some(LinkEvent::Connected) => {
                    supervisor.ready();
                    supervisor.status("connected");
                    echo.called();
                    agent.handle(clock(), time());
                    agent.handle(clock(), Event::Connected)
                }
                Some(LinkEvent::Message { topic, payload, retained }) => {
                    echo.heard(&topic, retained);
                    agent.handle(clock(), Event::Message { topic: &topic, payload: &payload.into(), retained })
                }
                Some(LinkEvent::Disconnected) => {
                    supervisor.status("the broker is away");
                    echo.cut();
                    agent.handle(clock(), Event::Disconnected)
                }
                Some(LinkEvent::Closed(Err(error))) => return Err(error.into()),
                Some(LinkEvent::Closed(Ok(()))) | None => bail!("the connection was closed"),
            },
            telemetry = gauge.next() => {
                agent.handle(clock(), time());
                agent.handle(clock(), Event::Measured(telemetry))
            }
            outcome = computations.next() => agent.handle(clock(), Event::Done(outcome?)),
            () = sleep_until(alarm.unwrap_or(start)), if alarm.is_some() => agent.handle(clock(), Event::Tick),
            () = echo.warn_if_lost() => Vec::new(),
            never = supervisor.beat() => match never {},
            () = &mut stop => {
                supervisor.stopping();
                if let Some(unfinished) = agent.unfinished() {
                    warn!("asked to stop: leaving {unfinished}");
                }
                link.send(Command::Publish(agent.last_will())).await;
                link.close(PARTING).await;
                return Ok(Ending::Interrupted);
            }
        };
        for action in actions {
            match action {
                Action::Subscribe(filter) => {
                    supervisor.alive_during(link.send(Command::Subscribe(filter))).await;
                }
                Action::Publish(publication) => {
                    supervisor.alive_during(link.send(Command::Publish(publication))).await;
                }
                Action::Compute(job) => {
                    if let Job::Train { round, .. } = &job {
                        supervisor.status(&format!("round {round}"));
                    }
                    let (worker, gauge) = (worker.clone(), gauge.clone());
                    computations.begin(move || compute(job, &worker, &gauge));
                }
                Action::Tell(event) => attack_log.append(&event),
                Action::Leave(farewell) => {
                    supervisor.stopping();
                    link.close(PARTING).await;
                    return ending(&farewell, device);
                }
            }
        }
    }
}

/// The link of `agent`'s device, with its farewell as the last will.
fn open_link(config: &Config, agent: &Agent) -> Link {
    let will = agent.last_will();
    // Not by the boot id, which stands in the status: who knows a client id can throw its owner off the broker.
    let client_id = format!("{}-{:016x}", config.device, nonce());
    Link::open(LinkOptions {
        last_will: Some(LastWill { topic: will.topic, payload: will.payload.into_bytes() }),
        ..config.access.link(client_id, config.patience)
    })
}

fn ending(farewell: &Farewell, device: DeviceId) -> anyhow::Result<Ending> {
    match farewell {
        Farewell::Finished => Ok(Ending::Finished),
        Farewell::DuplicateId => {
            bail!("another running client has the name {device}; give each device its own --device")
        }
    }
}

/// What the board's clock shows.
fn time() -> Event<'static> {
    Event::Time(link::unix_time().as_secs())
}

/// Has `worker` do `job`; the outcome of a training has with it what was measured meanwhile.
fn compute(job: Job, worker: &Worker, gauge: &Gauge) -> Outcome {
    let measuring = gauge.begin();
    let mut outcome = worker.perform(job);
    if let Outcome::Trained(trained) = &mut outcome {
        trained.telemetry = measuring.end();
    }
    outcome
}

/// Reads a shard and checks that it is for this device, and made by the scenario's settings.
fn load_shard(path: &Path, scenario: &Scenario, device: DeviceId) -> anyhow::Result<ShardFile> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("shard {shown}"))?;
    // With another shard a run would end in another model than elsewhere, and nothing would say why.
    let file = ShardFile::read(&bytes, &scenario.dataset, &scenario.shard_settings())
        .with_context(|| format!("shard {shown}"))?;
    let owner = file.info.device;
    ensure!(
        owner == device,
        "shard {shown}: is for {owner}, but this is {device}; give each device its own --shard"
    );
    ensure!(
        !file.shard.is_empty(),
        "shard {shown}: holds no example; have fewer devices, or more training examples"
    );
    Ok(file)
}
