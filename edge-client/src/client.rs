//! The surroundings of an agent: its worker, its board and its link.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use learning::models;
use link::{
    Act, Command, Driven, LastWill, Link, LinkOptions, PARTING, random_id, tell_supervisor, unix_time,
};
use scenario::attacks::Needs;
use scenario::catalogue::Catalogue;
use tracing::{error, info, warn};
use wire::identity::Digest;
use wire::{Millis, Topic};

use crate::agent::{Action, Agent, Event, Farewell, Identity};
use crate::attack_log::AttackLog;
use crate::config::Config;
use crate::echo::Echo;
use crate::memory::{Memory, Of};
use crate::shard::OwnShard;
use crate::telemetry::{Gauge, Sources, hardware};
use crate::worker::{Job, Outcome, Worker};

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
    if scenario.attackers().contains(&device) {
        scenario.allow_attack(&config.allow_program)?;
    }
    let own = match scenario.dataset.on_devices() {
        None => Ok(OwnShard::dealt(&config.shard, &scenario, device)?),
        Some(expected) => OwnShard::imported(&config.shard, expected),
    };
    let spec = scenario.dataset.spec();
    let model = models::build(&*scenario.model, &spec.shape, spec.classes)?;
    let identity = Identity {
        device,
        boot: random_id(),
        shard: own.as_ref().map_or(Digest([0; 32]), |own| own.digest),
        examples: own.as_ref().map_or(0, |own| own.shard.len() as u32),
        hardware: hardware().into(),
    };
    let (examples, dimension) = (identity.examples, model.layout().dimension());
    let mut agent = Agent::new(identity, config.topics.clone(), &scenario, dimension, Millis(0));
    if let Err(why) = &own {
        error!("{}: {why}; waiting for the end of a run", config.shard.display());
        agent = agent.with_unfit_data(why);
    }
    let crafts = scenario.attackers().contains(&device) && scenario.needs() > Needs::Nothing;
    let memory = |of: Of, file: &Option<PathBuf>, keeps: bool| {
        let memory = file.clone().filter(|_| keeps).map(|file| Memory::at(of, file));
        memory.transpose().map(Option::unwrap_or_default)
    };
    let attack = memory(Of::Attack, &config.attack_memory, crafts)?;
    let training = memory(Of::Training, &config.training_memory, scenario.training.keeps_momentum())?;
    let worker = match own {
        Err(why) => Err(why),
        Ok(OwnShard { shard, .. }) => {
            let worker = Worker::new(scenario, device, model.into(), shard)
                .with_context(|| format!("shard {}", config.shard.display()))?;
            Ok(Arc::new(worker.with_memories(attack.into(), training)))
        }
    };
    let mut client = Client {
        worker,
        attack_log: AttackLog::open(config.attack_log.as_deref())?,
        gauge: Gauge::start(Sources::default()),
        echo: Echo::new(config.topics.name(Topic::Status(device))),
        agent,
    };
    let mut link = open_link(&config, &client.agent);
    info!("{device}: {examples} examples, {dimension} parameters");
    tell_supervisor(&format!("connecting to {}", config.access.broker));
    let farewell = link::drive(&mut client, &mut link, stop).await?;
    if farewell.is_none() {
        if let Some(unfinished) = client.agent.unfinished() {
            warn!("asked to stop: leaving {unfinished}");
        }
        link.send(Command::Publish(client.agent.last_will())).await;
    }
    link.close(PARTING).await;
    match farewell {
        None => Ok(Ending::Interrupted),
        Some(Farewell::Finished) => match client.worker {
            Ok(_) => Ok(Ending::Finished),
            Err(why) => bail!("the run went without this device: {why}"),
        },
        Some(Farewell::DuplicateId) => {
            bail!("another running client has the name {device}; give each device its own --device")
        }
        Some(Farewell::Lost(what)) => bail!(what),
    }
}

/// An agent and what it has around it.
struct Client {
    agent: Agent,
    /// Or why there is nothing to train on.
    worker: Result<Arc<Worker>, String>,
    gauge: Gauge,
    echo: Echo,
    attack_log: AttackLog,
}

impl Driven for Client {
    type Action = Action;
    type Outcome = Outcome;
    type Farewell = Farewell;

    fn wake_at(&self) -> Option<Millis> {
        self.agent.wake_at()
    }

    fn handle(&mut self, now: Millis, event: Event<'_>) -> Vec<Action> {
        match &event {
            Event::Connected => {
                tell_supervisor("connected");
                self.echo.called();
                self.agent.set_time(now, unix_time().as_secs());
            }
            Event::Message { topic, retained, .. } => self.echo.heard(topic, *retained),
            Event::Disconnected => self.echo.cut(),
            Event::Done(_) | Event::Tick => {}
        }
        self.agent.handle(now, event)
    }

    fn act(&mut self, action: Action) -> anyhow::Result<Act<Outcome, Farewell>> {
        Ok(match action {
            Action::Subscribe(filter) => Act::Send(Command::Subscribe(filter)),
            Action::Publish(publication) => Act::Send(Command::Publish(publication)),
            Action::Compute(job) => {
                if let Job::Train { round, .. } = &job {
                    tell_supervisor(&format!("round {round}"));
                }
                let (worker, gauge) = (self.worker.clone(), self.gauge.clone());
                Act::Compute(Box::new(move || match worker {
                    Ok(worker) => compute(job, &worker, &gauge),
                    Err(what) => Outcome::Failed { round: job.round(), what },
                }))
            }
            Action::Report(event) => {
                self.attack_log.append(&event);
                Act::Nothing
            }
            Action::Leave(farewell) => Act::Leave(farewell),
        })
    }

    /// The board is read, and what it tells has the time of its clock with it; or the broker passes nothing on.
    async fn meanwhile(&mut self, clock: impl Fn() -> Millis) -> anyhow::Result<()> {
        tokio::select! {
            telemetry = self.gauge.next() => {
                self.agent.set_time(clock(), unix_time().as_secs());
                self.agent.measured(clock(), telemetry);
            }
            () = self.echo.warn_if_lost() => {}
        }
        Ok(())
    }
}

/// The link of `agent`'s device, with its farewell as the last will.
fn open_link(config: &Config, agent: &Agent) -> Link {
    let will = agent.last_will();
    // Not by the boot id, which stands in the status: who knows a client id can throw its owner off the broker.
    let client_id = format!("{}-{:016x}", config.device, random_id());
    Link::open(LinkOptions {
        last_will: Some(LastWill { topic: will.topic, payload: will.payload.into_bytes() }),
        ..config.access.link(client_id, config.patience)
    })
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
