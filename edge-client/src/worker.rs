//! What a device computes: local training, and the crafting of poisoned models. Both are pure functions of their jobs.

use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Tensor};
use learning::data::{Drawn, Shard};
use learning::models::{Model, ModelError};
use learning::random::{Purpose, Stream, stream};
use learning::training::{self, Training};
use robust::State;
use scenario::Scenario;
use scenario::attacks::{AttackError, Models};
use scenario::defense::DefenseError;
use scenario::tensor_executor::OnProcessors;
use wire::Telemetry;
use wire::identity::{DeviceId, RunId};

use crate::memory::{Memory, MemoryError};

/// Models of length d by their devices, in ascending order.
pub type ModelsOf = Vec<(DeviceId, Arc<[f32]>)>;

/// Something to compute.
#[derive(Clone, Debug)]
pub enum Job {
    /// Local training from the global model.
    Train {
        /// The run.
        run: RunId,
        /// The round.
        round: u32,
        /// The global model, length d.
        global: Arc<[f32]>,
    },
    /// Crafting for all colluders.
    Craft(CraftJob),
}

impl Job {
    /// The round that it is for.
    pub fn round(&self) -> u32 {
        match self {
            Job::Train { round, .. } | Job::Craft(CraftJob { round, .. }) => *round,
        }
    }
}

/// What the leader of the colluding devices knows of a round.
#[derive(Clone, Debug)]
pub struct CraftJob {
    /// The run.
    pub run: RunId,
    /// The round.
    pub round: u32,
    /// The global model the round started from.
    pub global: Arc<[f32]>,
    /// What the compromised devices would honestly send.
    pub before_attack: ModelsOf,
    /// What benign devices sent; empty under partial knowledge.
    pub benign: ModelsOf,
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
        models: ModelsOf,
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
    /// What attack or training keep cannot be kept: the device would go on with another one than it is to.
    Lost(String),
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

/// Why a job came to nothing.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("nothing crafted: {0}")]
    Attack(#[from] AttackError),
    #[error("training failed: {0}")]
    Training(#[from] ModelError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl JobError {
    fn outcome(self, round: u32) -> Outcome {
        match self {
            JobError::Memory(error) => Outcome::Lost(error.to_string()),
            error => Outcome::Failed { round, what: error.to_string() },
        }
    }
}

/// What a device's momentum is called where it is kept.
const MOMENTUM: &str = "momentum";

/// Computes for one device.
pub struct Worker {
    scenario: Arc<Scenario>,
    device: DeviceId,
    model: Arc<dyn Model>,
    shard: Shard,
    /// What it trains on in rounds that are attacked, if it is compromised.
    poisoned: Option<Shard>,
    /// What the attack keeps from round to round.
    attack_memory: Arc<Memory>,
    /// What training keeps.
    training_memory: Memory,
}

impl Worker {
    /// The worker of `device`, which the scenario may make poison its own data in the rounds that are attacked, or look for
    /// poison in them.
    ///
    /// # Errors
    /// As [`Scenario::sanitised`].
    pub fn new(
        scenario: Arc<Scenario>,
        device: DeviceId,
        model: Arc<dyn Model>,
        shard: Shard,
    ) -> Result<Self, DefenseError> {
        let rank = scenario.attackers().iter().position(|attacker| *attacker == device);
        let poisoned = scenario.attack.kind.as_ref().zip(rank).map(|(attack, rank)| {
            let random = &mut stream(scenario.seed, Purpose::Poison, Some(device), 0);
            let poisoned = attack.poison(shard.clone(), rank, random);
            if attack.is_of_data() { scenario.sanitised(device, poisoned) } else { Ok(poisoned) }
        });
        let (poisoned, shard) = (poisoned.transpose()?, scenario.sanitised(device, shard)?);
        let (attack_memory, training_memory) = Default::default();
        Ok(Worker { scenario, device, model, shard, poisoned, attack_memory, training_memory })
    }

    /// With what `attack` and `training` have kept so far, and with where they keep more.
    #[must_use]
    pub fn with_memories(self, attack: Arc<Memory>, training: Memory) -> Self {
        Worker { attack_memory: attack, training_memory: training, ..self }
    }

    /// The state of training after which `momentum` goes on.
    pub fn keeping(momentum: Option<Arc<[f32]>>) -> State {
        let mut state = State::default();
        if let Some(momentum) = momentum {
            state.set(MOMENTUM, momentum);
        }
        state
    }

    /// The momentum that `round` begins with, if training keeps it and has any.
    ///
    /// # Errors
    /// [`MemoryError`] if its file cannot be read.
    pub fn momentum(&self, run: RunId, round: u32) -> Result<Option<Arc<[f32]>>, MemoryError> {
        if !self.scenario.training.keeps_momentum() {
            return Ok(None);
        }
        Ok(self.training_memory.before(run, round)?.shared(MOMENTUM).cloned())
    }

    /// Does a job.
    pub fn perform(&self, job: Job) -> Outcome {
        match job {
            Job::Train { run, round, global } => self.train(run, round, global),
            Job::Craft(job) => self.craft(&job),
        }
    }

    /// Which examples the steps of `round` take, one minibatch for each: for a bench that trains in place of this device.
    /// They are of the data set that its shard is a view of; where it trains on another, see
    /// [`Worker::trained_otherwise`].
    pub fn drawn(&self, round: u32) -> Vec<Drawn> {
        let (shard, mut random) = self.source(round);
        let shard = if self.is_of_another(shard) { &self.shard } else { shard };
        self.scenario.training.minibatches(shard, &mut random).collect()
    }

    /// What the minibatches of `round` are drawn from, and by which numbers.
    fn source(&self, round: u32) -> (&Shard, Stream) {
        let attacked = self.scenario.attack_rounds().contains(round);
        let shard = self.poisoned.as_ref().filter(|_| attacked).unwrap_or(&self.shard);
        (shard, stream(self.scenario.seed, Purpose::Batches, Some(self.device), round))
    }

    /// Whether `shard` is a view of another data set than what this device holds.
    fn is_of_another(&self, shard: &Shard) -> bool {
        !std::ptr::eq(shard.dataset(), self.shard.dataset())
    }

    /// What this device trains in `round`, with the `momentum` of earlier ones, in place of what an honest one would, if the
    /// attack has it do so, or has it train on another data set.
    ///
    /// # Errors
    /// As [`Training::honestly`].
    pub fn trained_otherwise(
        &self,
        round: u32,
        global: &Arc<[f32]>,
        momentum: Option<Arc<[f32]>>,
    ) -> Option<Result<training::Trained, ModelError>> {
        self.poisoned.as_ref()?;
        let attack = self.scenario.attack.kind.as_ref()?;
        if !self.scenario.attack_rounds().contains(round) {
            return None;
        }
        let (shard, mut random) = self.source(round);
        let training = self.training(shard, round, global.clone(), momentum);
        attack
            .train(&training, &mut random)
            .or_else(|| self.is_of_another(shard).then(|| training.honestly(&mut self.source(round).1)))
    }

    fn training<'a>(
        &'a self,
        shard: &'a Shard,
        round: u32,
        global: Arc<[f32]>,
        momentum: Option<Arc<[f32]>>,
    ) -> Training<'a> {
        let (model, settings) = (self.model.as_ref(), &self.scenario.training);
        Training { model, global, shard, settings, round, momentum }
    }

    fn train(&self, run: RunId, round: u32, global: Arc<[f32]>) -> Outcome {
        let begun = Instant::now();
        match self.trained_remembering(run, round, global) {
            Ok(trained) => Outcome::Trained(Trained {
                round,
                parameters: trained.parameters,
                loss: trained.loss,
                train_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
                telemetry: Telemetry::default(),
            }),
            Err(error) => error.outcome(round),
        }
    }

    fn trained_remembering(
        &self,
        run: RunId,
        round: u32,
        global: Arc<[f32]>,
    ) -> Result<training::Trained, JobError> {
        let momentum = self.momentum(run, round)?;
        let trained = if let Some(otherwise) = self.trained_otherwise(round, &global, momentum.clone()) {
            otherwise?
        } else {
            let (shard, mut random) = self.source(round);
            self.training(shard, round, global, momentum).honestly(&mut random)?
        };
        if trained.momentum.is_some() {
            self.training_memory.keep(run, round, Worker::keeping(trained.momentum.clone()))?;
        }
        Ok(trained)
    }

    fn craft(&self, job: &CraftJob) -> Outcome {
        match self.crafted_remembering(job) {
            Ok(crafted) => {
                let gave_up = crafted.is_none();
                let models = job.before_attack.iter().map(|(device, model)| (*device, model.clone()));
                let models = crafted.unwrap_or_else(|| models.collect());
                let from =
                    Models { colluders: job.before_attack.len() as u32, benign: job.benign.len() as u32 };
                Outcome::Crafted { round: job.round, models, from, gave_up }
            }
            Err(error) => error.outcome(job.round),
        }
    }

    fn crafted_remembering(&self, job: &CraftJob) -> Result<Option<ModelsOf>, JobError> {
        let mut state = self.attack_memory.before(job.run, job.round)?;
        let crafted = self.crafted(job, &mut state)?;
        self.attack_memory.keep(job.run, job.round, state)?;
        Ok(crafted)
    }

    /// Who is to send what; `None` if it is what they trained.
    fn crafted(&self, job: &CraftJob, state: &mut State) -> Result<Option<ModelsOf>, AttackError> {
        let mut known: Vec<_> = job.before_attack.iter().chain(&job.benign).collect();
        known.sort_by_key(|(device, _)| *device);
        let devices = known.iter().map(|(device, _)| *device).collect();
        let attackers = job.before_attack.iter().map(|(device, _)| *device).collect();
        let Some(crafting) = self.scenario.crafting(job.round, devices, &attackers) else {
            return Ok(None);
        };
        let (count, dimension) = (known.len(), job.global.len());
        let models: Vec<f32> = known.iter().flat_map(|(_, model)| model.iter().copied()).collect();
        let models = Tensor::from_vec(models, (count, dimension), &Device::Cpu)?;
        let drawn = crafting.draw(dimension);
        let drawn = Tensor::from_vec(drawn, (job.before_attack.len(), dimension), &Device::Cpu)?;
        let global = Tensor::new(&job.global[..], &Device::Cpu)?;
        let Some(crafted) = crafting.craft(&drawn, &models, &global, &OnProcessors, state)? else {
            return Ok(None);
        };
        let crafted = crafted.to_vec2::<f32>()?.into_iter().map(Arc::from);
        Ok(Some(attackers.into_iter().zip(crafted).collect()))
    }
}
