//! The rim: joins agent, worker, board, MQTT and the clock.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use rim::{Command, LastWill, Link, LinkEvent, LinkOptions, Supervisor, nonce};
use shared::data::ShardFile;
use shared::identity::DeviceId;
use shared::models;
use shared::scenario::Scenario;
use shared::wire::{Millis, Topic};
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::agent::{Action, Agent, Event, Farewell, Identity};
use crate::attack_log::AttackLog;
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
#[allow(clippy::too_many_lines, reason = "what is joined here is joined in one loop")]
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<Ending> {
    let scenario = Arc::new(Scenario::load(&config.scenario, &[])?);
    let device = config.device;
    ensure!(
        device.0 < scenario.fleet.devices,
        "{device} is not of this fleet: {} has fleet.devices = {}",
        config.scenario.display(),
        scenario.fleet.devices
    );
    let ShardFile { shard, digest, .. } = load_shard(&config.shard, &scenario, device)?;
    let model = models::build(scenario.model, shard.dataset().shape(), shard.dataset().classes())?;
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
    let worker = Arc::new(Worker::new(scenario, device, model.into(), shard));
    let mut attack_log = AttackLog::open(config.attack_log.as_deref())?;
    let mut gauge = Gauge::start(Sources::default());

    let will = agent.last_will();
    let mut link = Link::open(LinkOptions {
        last_will: Some(LastWill { topic: will.topic, payload: will.payload.into_bytes() }),
        // Not by the boot id, which stands in the status: who knows a client id can throw its owner off the broker.
        ..config.access.link(format!("{device}-{:016x}", nonce()), config.patience)
    });
    info!("{device}: {} examples, {dimension} parameters", identity.examples);

    let mut echo = Echo::new(config.topics.name(Topic::Status(device)));
    let mut supervisor = Supervisor::from_environment();
    supervisor.status(&format!("connecting to {}", config.access.broker));
    let (report, mut reports) = mpsc::channel::<Result<_, JoinError>>(4);
    tokio::pin!(stop);
    loop {
        let alarm = agent.wake_at().map(|at| start + Duration::from_millis(at.0));
        let actions = tokio::select! {
            event = link.next() => match event {
                Some(LinkEvent::Connected) => {
                    supervisor.ready();
                    supervisor.status("connected");
                    echo.called();
                    agent.handle(clock(), Event::Time(unix_time()));
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
                agent.handle(clock(), Event::Time(unix_time()));
                agent.handle(clock(), Event::Measured(telemetry))
            }
            Some(outcome) = reports.recv() => {
                let died = "a computation has ended without a result, which is a defect of this program";
                agent.handle(clock(), Event::Done(outcome.context(died)?))
            }
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
                    compute(job, worker.clone(), gauge.clone(), report.clone());
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

fn ending(farewell: &Farewell, device: DeviceId) -> anyhow::Result<Ending> {
    match farewell {
        Farewell::Finished => Ok(Ending::Finished),
        Farewell::DuplicateId => {
            bail!("another running client has the name {device}; give each device its own --device")
        }
    }
}

/// What the board's clock shows, in seconds since 1970.
fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Has `worker` do `job` on a thread of its own, and reports the outcome, of a training with what was measured meanwhile.
fn compute(job: Job, worker: Arc<Worker>, gauge: Gauge, report: mpsc::Sender<Result<Outcome, JoinError>>) {
    let work = tokio::task::spawn_blocking(move || {
        let measuring = gauge.begin();
        let mut outcome = worker.perform(job);
        if let Outcome::Trained(trained) = &mut outcome {
            trained.telemetry = measuring.end();
        }
        outcome
    });
    // The client may have left meanwhile; then nobody waits for the outcome.
    tokio::spawn(async move { report.send(work.await).await });
}

/// Reads a shard and checks that it is for this device, and made by the scenario's settings.
fn load_shard(path: &Path, scenario: &Scenario, device: DeviceId) -> anyhow::Result<ShardFile> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("shard {shown}"))?;
    let file = ShardFile::read(&bytes).with_context(|| format!("shard {shown}"))?;
    // With another shard a run would end in another model than elsewhere, and nothing would say why.
    let owner = file.info.device;
    ensure!(
        owner == device,
        "shard {shown}: is for {owner}, but this is {device}; give each device its own --shard"
    );
    ensure!(
        !file.shard.is_empty(),
        "shard {shown}: holds no example; have fewer devices, or more training examples"
    );
    if let Some(difference) = file.info.source.differs_from(&scenario.shard_settings()) {
        bail!("shard {shown}: {difference}; make the shards anew from this scenario");
    }
    Ok(file)
}
