//! The surroundings of the round machine: its worker, its record and its link.

use std::future::pending;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use learning::data;
use learning::data::{Dataset, ShardEntry, ShardList, Split};
use learning::models::Model;
use link::{Act, BrokerAccess, Command, Driven, Link, LinkError, PARTING, random_id, tell_supervisor};
use scenario::catalogue::Catalogue;
use scenario::{Scenario, StartingModel};
use tracing::{info, warn};
use wire::Millis;
use wire::identity::Digest;

use crate::attack_log::AttackLog;
use crate::backend::{self, DeviceChoice};
#[cfg(feature = "embedded-broker")]
use crate::broker;
use record::{Manifest, RecordError, RoundRecord, Summary};

use crate::config::Cli;
use crate::machine::{Action, Event, Failure, Machine, Start};
use crate::run::{self, Opened, Run};
use crate::worker::{Outcome, Worker};

/// How an aggregator ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// The run is finished.
    Finished(Box<Summary>),
    /// Asked to stop by a signal; the run can be resumed.
    Interrupted,
}

/// Runs the aggregator until the run is finished or `stop` resolves.
///
/// # Errors
/// If the scenario or a file is unusable, the broker is away for too long, or the run cannot go on.
pub async fn run(cli: Cli, catalogue: &Catalogue, stop: impl Future<Output = ()>) -> anyhow::Result<Ending> {
    let chosen = backend::open(cli.device)?;
    if cli.device != DeviceChoice::Cpu {
        info!("{chosen}");
    }
    let access = load_access(&cli)?;
    let scenario = Arc::new(catalogue.with_datasets_in(&cli.datasets).load(&cli.scenario, &cli.settings)?);
    scenario.allow_defense(&cli.allow_program)?;
    ensure!(
        cli.shards.is_none() || scenario.dataset.on_devices().is_none(),
        "--shards: the data lie on the devices, and there is no list of them; leave it out"
    );
    let load = |path: &Path| ShardList::load(path, scenario.fleet.devices, &scenario.shard_settings());
    let list = cli.shards.as_deref().map(load).transpose()?;
    let (test, root) = load_data(&scenario, &cli.datasets)?;
    let StartingModel { model, weights, notes } =
        scenario.starting_model(test.shape(), test.classes(), &cli.datasets)?;
    notes.iter().for_each(|note| warn!("{note}"));
    let examples = scenario.attack_examples(&cli.datasets)?;
    let attack = examples.as_ref().map(|split| ("attack", split.digest()));
    let parts = [Some(("test", test.digest())), attack, weights.map(|digest| ("weights", digest))];
    let mut run = match open_run(&cli, &scenario, model.as_ref(), parts, list.as_ref())? {
        Opened::Unfinished(run) => run,
        Opened::Finished(summary) => return Ok(Ending::Finished(summary)),
    };
    let listed = list.map(|list| list.shards());
    let start = checked(Start { listed, ..run.start()? }, &cli)?;
    let silence = access.silence();
    let worker = Worker::new(&scenario, &model, test, chosen.backend.as_ref())?.with_root(&model, root);
    let worker = worker.with_attack_examples(&model, examples.map(|split| split.test.into()));
    let (mut link, broker_ended) = open_link(&cli, access, scenario.fleet.devices)?;
    let mut aggregator = Aggregator {
        machine: machine(&cli, &scenario, start, silence),
        attack_log: cli.attack_log.map(AttackLog::new),
        worker: Arc::new(worker),
        run,
        broker_ended,
    };
    match link::drive(&mut aggregator, &mut link, stop).await {
        Ok(farewell) => {
            let ending = conclude(aggregator.run, farewell);
            link.close(PARTING).await;
            ending
        }
        Err(error) => given_up(aggregator.run, error),
    }
}

/// The round machine and what it has around it.
struct Aggregator {
    machine: Machine,
    worker: Arc<Worker>,
    run: Box<Run>,
    attack_log: Option<AttackLog>,
    broker_ended: BrokerEnded,
}

impl Driven for Aggregator {
    type Action = Action;
    type Outcome = Outcome;
    type Farewell = Result<(), Failure>;

    fn wake_at(&self) -> Option<Millis> {
        self.machine.wake_at()
    }

    fn handle(&mut self, now: Millis, event: Event<'_>) -> Vec<Action> {
        self.machine.handle(now, event)
    }

    fn act(&mut self, action: Action) -> anyhow::Result<Act<Outcome, Self::Farewell>> {
        match action {
            Action::Subscribe(filter) => return Ok(Act::Send(Command::Subscribe(filter))),
            Action::Unsubscribe(filter) => return Ok(Act::Send(Command::Unsubscribe(filter))),
            Action::Publish(publication) => return Ok(Act::Send(Command::Publish(publication))),
            Action::Take { round, update } if self.worker.takes_updates() => {
                let worker = self.worker.clone();
                tokio::task::spawn_blocking(move || worker.take(round, &update));
            }
            Action::Take { .. } => {}
            Action::Compute(job) => {
                let worker = self.worker.clone();
                return Ok(Act::Compute(Box::new(move || worker.perform(job))));
            }
            Action::Describe { device, version, hardware } => self.run.describe(device, &version, &hardware),
            Action::Record { mut record, global, remembered } => {
                let scenario = self.run.scenario();
                record.attack = self.attack_log.as_mut().and_then(|log| log.take(scenario, record.round));
                log_round(&record, scenario);
                tell_supervisor(&format!("round {} of {}", record.round, scenario.rounds));
                self.run.record(record, global, remembered)?;
            }
            Action::Finish(result) => return Ok(Act::Leave(result)),
        }
        Ok(Act::Nothing)
    }

    /// The broker that this process brings must not end.
    async fn meanwhile(&mut self, _: impl Fn() -> Millis) -> anyhow::Result<()> {
        Err((&mut self.broker_ended).await)
    }
}

/// What the run comes to; without a farewell it was asked to stop.
fn conclude(mut run: Box<Run>, farewell: Option<Result<(), Failure>>) -> anyhow::Result<Ending> {
    if let Some(Ok(())) = farewell {
        return Ok(Ending::Finished(Box::new(run.finish()?)));
    }
    run.checkpoint()?;
    farewell.transpose()?;
    Ok(Ending::Interrupted)
}

/// The broker is away for good: no harm, if that is after the last round.
fn given_up(run: Box<Run>, error: anyhow::Error) -> anyhow::Result<Ending> {
    if !error.is::<LinkError>() || !run.is_complete() {
        return Err(error);
    }
    warn!("the run is over, but perhaps not every device has heard so: {error}");
    Ok(Ending::Finished(Box::new(run.finish()?)))
}

/// The machine of the run, on a connection of which it is known after `silence` that it is dead.
fn machine(cli: &Cli, scenario: &Arc<Scenario>, start: Start, silence: Duration) -> Machine {
    let mut machine = Machine::new(scenario.clone(), cli.topic_prefix.clone(), start, Millis(0));
    machine.assume_silence(Millis(silence.as_millis() as u64));
    machine.expect_without(&cli.without);
    machine
}

/// The test examples, and those that the aggregator trains on itself, if its rule wants that.
fn load_data(scenario: &Scenario, datasets: &Path) -> anyhow::Result<(Arc<Dataset>, Option<Arc<Dataset>>)> {
    if scenario.aggregation.rule.root_examples() == 0 {
        return Ok((Arc::new(data::load_test(&scenario.dataset, datasets, scenario.seed)?), None));
    }
    let Split { train, test } = data::load(&scenario.dataset, datasets, scenario.seed)?;
    Ok((Arc::new(test), scenario.training_examples(train)?.root.map(Arc::new)))
}

/// How the broker is reached, whether it is another one or the one that this process brings.
fn load_access(cli: &Cli) -> anyhow::Result<BrokerAccess> {
    #[cfg(feature = "embedded-broker")]
    if cli.broker.is_none() {
        return Ok(cli.access.load(&cli.embedded.address()?.into())?);
    }
    Ok(cli.access.load(cli.broker.as_ref().context("the command line lets nobody leave out --broker")?)?)
}

/// The list of shards must not contradict the rounds that are recorded.
fn checked(start: Start, cli: &Cli) -> anyhow::Result<Start> {
    let (Some(path), Some(listed)) = (&cli.shards, &start.listed) else { return Ok(start) };
    let mut recorded = start.trained_on.values();
    match recorded.find(|entry| listed.get(&entry.device) != Some(entry)) {
        Some(ShardEntry { device, .. }) => bail!(
            "{}: {device} trained on another shard in the rounds that {} holds; choose another directory for --out",
            path.display(),
            cli.out.display()
        ),
        None => Ok(start),
    }
}

fn open_run(
    cli: &Cli,
    scenario: &Arc<Scenario>,
    model: &dyn Model,
    parts: [Option<(&'static str, Digest)>; 3],
    list: Option<&ShardList>,
) -> Result<Opened, RecordError> {
    let digests = parts.into_iter().flatten().chain(list.map(|list| ("training", list.training())));
    let data = run::data_digests(scenario.dataset.name(), digests);
    let shards_sha256 = list.map(|list| list.digest().to_string());
    let made_of = Manifest { shards_sha256, ..run::manifest(scenario, &cli.bench, model, data) };
    // Every round: on a fleet a round is worth more than the write.
    let mut opened = Run::open(&cli.out, scenario, model, &made_of, Duration::ZERO)?;
    match &mut opened {
        Opened::Finished(_) => info!("every round of this run is there already"),
        Opened::Unfinished(run) => run.leave_out(&cli.without)?,
    }
    Ok(opened)
}

/// Resolves, with what there is to say of it, when the broker that this process brings has ended.
type BrokerEnded = Pin<Box<dyn Future<Output = anyhow::Error> + Send>>;

/// The link to the broker, which is started, if this process brings it.
#[cfg_attr(
    not(feature = "embedded-broker"),
    expect(clippy::unnecessary_wraps, unused_mut, unused_variables, reason = "it brings none")
)]
fn open_link(cli: &Cli, mut access: BrokerAccess, devices: u32) -> anyhow::Result<(Link, BrokerEnded)> {
    let client_id = format!("aggregator-{:016x}", random_id());
    let mut ended: BrokerEnded = Box::pin(pending());
    #[cfg(feature = "embedded-broker")]
    if cli.broker.is_none() {
        let (address, topics, owner) = (cli.embedded.address()?, cli.topic_prefix.clone(), client_id.clone());
        let mut broker = broker::start(broker::Settings { address, topics, devices, owner })?;
        access.broker = broker.address.clone();
        ended = Box::pin(async move { broker.ended().await.into() });
    }
    Ok((Link::open(access.link(client_id, Duration::from_secs(cli.patience))), ended))
}

fn log_round(record: &RoundRecord, scenario: &Scenario) {
    if let Some(error) = record.test_error {
        let RoundRecord { round, accepted, selected, .. } = record;
        info!(
            "round {round} of {}: test error {error:.4}, {accepted} of {selected} updates",
            scenario.rounds
        );
    }
}
