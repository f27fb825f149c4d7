//! What a device computes: local training, and crafting of poisoned models. Pure functions of their jobs.

use std::sync::Arc;
use std::time::Instant;

use shared::attack_record::Models;
use shared::data::{Drawn, Shard};
use shared::identity::DeviceId;
use shared::models::Model;
use shared::random::{Purpose, Stream, stream};
use shared::scenario::Scenario;
use shared::training::train;
use shared::wire::Telemetry;

use crate::attacks::{self, Attack, View};

/// Something to compute.
#[derive(Clone, Debug)]
pub enum Job {
    /// Local training from the global model.
    Train {
        /// The round.
        round: u32,
        /// The global model, length d.
        global: Arc<[f32]>,
    },
    /// Crafting for all colluders.
    Craft(CraftJob),
}

/// What the leader of the colluding devices knows of a round; models have length d and come in ascending order of
/// device.
#[derive(Clone, Debug)]
pub struct CraftJob {
    /// The round.
    pub round: u32,
    /// The global model the round started from.
    pub global: Arc<[f32]>,
    /// What the compromised devices would honestly send.
    pub before_attack: Vec<(DeviceId, Arc<[f32]>)>,
    /// What benign devices sent; empty under partial knowledge.
    pub benign: Vec<(DeviceId, Arc<[f32]>)>,
}

/// What came of a [`Job`].
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A local model.
    Trained(Trained),
    /// A model for each colluder.
    Crafted {
        /// The round.
        round: u32,
        /// Who is to send what.
        models: Vec<(DeviceId, Arc<[f32]>)>,
        /// What it was crafted from.
        from: Models,
        /// The attack found nothing that would do better than what they trained: the models are these.
        gave_up: bool,
    },
    /// It could not be computed.
    Failed {
        /// The round.
        round: u32,
        /// Why.
        what: String,
    },
}

/// A local model.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The round.
    pub round: u32,
    /// The model after training, length d.
    pub parameters: Arc<[f32]>,
    /// Mean training loss.
    pub loss: f32,
    /// How long it took in microseconds.
    pub train_us: u64,
    /// What the board told then: nothing, until whoever drives the worker fills it in.
    pub telemetry: Telemetry,
}

/// Computes for one device.
pub struct Worker {
    scenario: Arc<Scenario>,
    device: DeviceId,
    model: Arc<dyn Model>,
    shard: Shard,
    /// The shard with the labels that the attack trains with.
    poisoned: Option<Shard>,
    attack: Option<Box<dyn Attack>>,
}

impl Worker {
    /// The worker of `device`, which the scenario may make poison its own data in the rounds that are attacked.
    pub fn new(scenario: Arc<Scenario>, device: DeviceId, model: Arc<dyn Model>, shard: Shard) -> Self {
        let attack = attacks::build(&scenario).filter(|_| scenario.attackers().contains(&device));
        let classes = shard.dataset().classes();
        let relabelled =
            |attack: &dyn Attack| shard.clone().with_labels(|label| attack.label(label, classes));
        let poisoned = attack.as_deref().map(relabelled);
        Worker { scenario, device, model, shard, poisoned, attack }
    }

    /// Does a job.
    pub fn perform(&self, job: Job) -> Outcome {
        match job {
            Job::Train { round, global } => self.train(round, global),
            Job::Craft(job) => self.craft(&job),
        }
    }

    /// Which examples the steps of `round` take, one minibatch for each: what somebody needs who trains for this device.
    pub fn drawn(&self, round: u32) -> Vec<Drawn> {
        let (shard, mut random) = self.source(round);
        (0..self.scenario.training.local_steps).map(|_| shard.draw(self.batch_size(), &mut random)).collect()
    }

    /// What the minibatches of `round` are drawn from, and by which numbers.
    fn source(&self, round: u32) -> (&Shard, Stream) {
        let attacked = self.scenario.attack_rounds().contains(round);
        let shard = self.poisoned.as_ref().filter(|_| attacked).unwrap_or(&self.shard);
        (shard, stream(self.scenario.seed, Purpose::Batches, Some(self.device), round))
    }

    fn batch_size(&self) -> usize {
        self.scenario.training.batch_size as usize
    }

    fn train(&self, round: u32, global: Arc<[f32]>) -> Outcome {
        let begun = Instant::now();
        let training = &self.scenario.training;
        let (rate, steps) = (training.learning_rate as f32, training.local_steps as usize);
        let (shard, mut random) = self.source(round);
        let minibatch = |_step| shard.minibatch(self.batch_size(), &mut random);
        match train(self.model.as_ref(), global, rate, steps, minibatch) {
            Ok(trained) => Outcome::Trained(Trained {
                round,
                parameters: trained.parameters,
                loss: trained.loss,
                train_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
                telemetry: Telemetry::default(),
            }),
            Err(error) => Outcome::Failed { round, what: format!("training failed: {error}") },
        }
    }

    fn craft(&self, job: &CraftJob) -> Outcome {
        let Some(attack) = &self.attack else {
            return Outcome::Failed { round: job.round, what: format!("{} is no attacker", self.device) };
        };
        let before_attack: Vec<_> = job.before_attack.iter().map(|(id, model)| (*id, &model[..])).collect();
        let benign: Vec<_> = job.benign.iter().map(|(id, model)| (*id, &model[..])).collect();
        let view = View {
            seed: self.scenario.seed,
            round: job.round,
            global: &job.global,
            before_attack: &before_attack,
            benign: &benign,
        };
        match attack.craft(&view) {
            Ok(models) => {
                let gave_up = models.iter().zip(&before_attack).all(|(model, (_, trained))| model == trained);
                let devices = job.before_attack.iter().map(|(device, _)| *device);
                let models = devices.zip(models.into_iter().map(Arc::from)).collect();
                let from = Models { colluders: before_attack.len() as u32, benign: benign.len() as u32 };
                Outcome::Crafted { round: job.round, models, from, gave_up }
            }
            Err(error) => Outcome::Failed { round: job.round, what: format!("nothing crafted: {error}") },
        }
    }
}
