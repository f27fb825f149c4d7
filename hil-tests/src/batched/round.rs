//! The rounds of a run.

use std::collections::BTreeSet;
use std::sync::Arc;

use aggregator_node::defense::{LeaveOneOut, Removals, validation_examples};
use aggregator_node::evaluator::BATCH;
use aggregator_node::record::{RefusedDevice, RoundRecord};
use anyhow::Context;
use candle_core::{Device, Tensor};
use edge_client::attacks::{self as device_attacks, Needs};
use edge_client::worker::Worker;
use rayon::prelude::*;
use shared::data::Shard;
use shared::evaluation::Evaluation;
use shared::identity::DeviceId;
use shared::models::Model;
use shared::parameters::first_not_finite;
use shared::rules::RuleError;
use shared::scenario::Scenario;
use shared::wire::Refusal;
use tracing::warn;

use super::VALUES;
use super::attacks::{self, Attack, View};
use super::evaluator::Evaluator;
use super::examples::Examples;
use super::rules::{Rules, RulesError, WithoutEach};
use super::trainer::Trainer;
use super::updates::{Updates, rows_of};
use crate::bench::Task;

/// A run in progress.
pub(super) struct Simulation {
    scenario: Arc<Scenario>,
    /// What draws the minibatches of each device.
    devices: Vec<Worker>,
    /// Number of examples of each.
    weights: Vec<f64>,
    attackers: BTreeSet<DeviceId>,
    /// What they craft, if they do, and what for.
    attack: Option<(Box<dyn Attack>, Needs)>,
    trainer: Trainer,
    rules: Rules,
    defense: Option<(Removals, Evaluator)>,
    test: Evaluator,
    /// The global model, `[d]`.
    global: Tensor,
    /// Its values.
    values: Arc<[f32]>,
}

impl Simulation {
    /// The run of `task`, from the model `global`, on `device`.
    ///
    /// # Errors
    /// If the model cannot be trained so, there are too few validation examples, or the GPU fails.
    pub(super) fn new(
        task: &Task,
        model: &Arc<dyn Model>,
        global: Arc<[f32]>,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let (scenario, data) = (&task.scenario, &task.data);
        let shards = data.shards(scenario);
        let no_devices = || anyhow::anyhow!("the scenario has no devices");
        let train = shards.first().ok_or_else(no_devices)?.dataset();
        let examples = Examples::new(train, device).context("the training examples do not fit the GPU")?;
        let trainer = Trainer::new(scenario, model.as_ref(), data.test.shape(), examples, device.clone())?;
        let evaluator = |batches: Vec<_>| Evaluator::new(trainer.network().clone(), batches, device, VALUES);
        let validation = |removals| -> anyhow::Result<_> {
            Ok((removals, evaluator(validation_examples(scenario, &data.test)?)?))
        };
        let attack = attacks::build(scenario).zip(device_attacks::build(scenario));
        let worker = |(index, shard): (usize, Shard)| {
            Worker::new(scenario.clone(), DeviceId(index as u32), model.clone(), shard)
        };
        Ok(Simulation {
            weights: shards.iter().map(|shard| shard.len() as f64).collect(),
            attackers: scenario.attackers(),
            attack: attack.map(|(crafting, attack)| (crafting, attack.needs())),
            rules: Rules::new(scenario, device)?,
            defense: Removals::of(scenario).map(validation).transpose()?,
            test: evaluator(data.test.batches(BATCH).collect())?,
            global: Tensor::new(&global[..], device)?,
            values: global,
            devices: shards.into_iter().enumerate().map(worker).collect(),
            scenario: scenario.clone(),
            trainer,
        })
    }

    /// A round: what is to be recorded of it, and the global model after it, d values.
    ///
    /// # Errors
    /// If candle or the GPU fails.
    pub(super) fn round(&mut self, round: u32) -> anyhow::Result<(RoundRecord, Arc<[f32]>)> {
        let sent = self.sent(round)?;
        let selected = sent.devices.clone();
        let finite = sent.are_finite()?;
        let refused: Vec<DeviceId> =
            selected.iter().zip(&finite).filter(|(_, finite)| !**finite).map(|(&device, _)| device).collect();
        let accepted = sent.select(|row| finite[row])?;
        let count = accepted.as_ref().map_or(0, |accepted| accepted.devices.len());
        let train_loss = accepted.as_ref().and_then(Updates::mean_loss);
        let (aggregated, removed) = match (self.scenario.check_updates(count), accepted) {
            (Ok(()), Some(accepted)) => self.aggregate(round, accepted)?,
            (enough, _) => {
                let why = enough.err().map(|reason| format!(": {reason}")).unwrap_or_default();
                warn!("round {round}: the global model stays as it is{why}");
                (false, Vec::new())
            }
        };
        let evaluation = self.evaluate(round)?;
        let reason = Refusal::NonFinite;
        let refused_device = |&device: &DeviceId| RefusedDevice { device: Some(device), reason };
        let record = RoundRecord {
            round,
            selected: selected.len() as u32,
            accepted: count as u32,
            refused: (!refused.is_empty()).then_some((reason, refused.len() as u32)).into_iter().collect(),
            refused_devices: refused.iter().map(refused_device).collect(),
            absent: Vec::new(),
            removed,
            aggregated,
            train_loss,
            test_error: evaluation.map(|evaluation| evaluation.error_rate),
            test_loss: evaluation.map(|evaluation| evaluation.loss),
            bytes_up: 0,
            bytes_down: 0,
            seconds: 0.0,
            devices: Vec::new(),
        };
        Ok((record, self.values.clone()))
    }

    /// What the selected devices send: what they trained, or what was crafted for them.
    fn sent(&self, round: u32) -> anyhow::Result<Updates> {
        let devices: Vec<DeviceId> = self.scenario.selection(round).into_iter().collect();
        let drawn: Vec<_> =
            devices.par_iter().map(|device| self.devices[device.0 as usize].drawn(round)).collect();
        let trained = self.trainer.train(&self.global, &drawn).context("the devices cannot be trained")?;
        let values = match &self.attack {
            Some((attack, needs)) if self.scenario.attack_rounds().contains(round) => {
                let attacked = self.attack(round, attack.as_ref(), *needs, &devices, &trained.models);
                attacked.context("the attack cannot be crafted")?
            }
            _ => trained.models,
        };
        let weights = devices.iter().map(|device| self.weights[device.0 as usize]).collect();
        Ok(Updates { devices, values, weights, losses: trained.losses.to_vec1()? })
    }

    /// `models`, `[m, d]`, with what was crafted in place of those of compromised devices, if anything was.
    fn attack(
        &self,
        round: u32,
        attack: &dyn Attack,
        needs: Needs,
        devices: &[DeviceId],
        models: &Tensor,
    ) -> anyhow::Result<Tensor> {
        let is_compromised = |&row: &u32| self.attackers.contains(&devices[row as usize]);
        let (colluders, benign): (Vec<u32>, Vec<u32>) = (0..devices.len() as u32).partition(is_compromised);
        if colluders.is_empty() || (needs == Needs::Everyone && benign.is_empty()) {
            return Ok(models.clone());
        }
        let names: Vec<DeviceId> = colluders.iter().map(|&row| devices[row as usize]).collect();
        // On a GPU, models are still being trained meanwhile.
        let dimension = models.dim(1)?;
        let drawn = attacks::draw(attack, (self.scenario.seed, round), &names, dimension);
        let drawn = Tensor::from_vec(drawn, (names.len(), dimension), models.device())?;
        let view = View {
            global: &self.global,
            everyone: models,
            colluders: &colluders,
            benign: &benign,
            drawn: &drawn,
            rules: &self.rules,
        };
        match attack.craft(&view) {
            Ok(Some(crafted)) => {
                let count = devices.len() as u32;
                let mut places: Vec<u32> = (0..count).collect();
                for (row, place) in colluders.iter().zip(count..) {
                    places[*row as usize] = place;
                }
                Ok(rows_of(&Tensor::cat(&[models, &crafted], 0)?, &places)?)
            }
            Ok(None) => Ok(models.clone()),
            Err(error) => {
                warn!("round {round}: nothing crafted: {}", refused(error)?);
                Ok(models.clone())
            }
        }
    }

    /// The new global model, unless it stays as it is, and whose updates the defense removed.
    fn aggregate(&mut self, round: u32, accepted: Updates) -> anyhow::Result<(bool, Vec<DeviceId>)> {
        let what = match self.defended(round, accepted) {
            Ok((removed, aggregate)) => {
                let values: Arc<[f32]> = aggregate.to_vec1::<f32>()?.into();
                let is_finite = first_not_finite(&values).is_none();
                if is_finite {
                    (self.global, self.values) = (aggregate, values);
                } else {
                    warn!("round {round}: the aggregate is not finite, the global model stays as it is");
                }
                return Ok((is_finite, removed));
            }
            Err(error) => refused(error).context("the updates cannot be aggregated")?,
        };
        warn!("round {round}: the global model stays as it is: {what}");
        Ok((false, Vec::new()))
    }

    /// Whose updates the defense removes, and the aggregate of the others, `[d]`.
    fn defended(&self, round: u32, accepted: Updates) -> Result<(Vec<DeviceId>, Tensor), RulesError> {
        let harmful = match &self.defense {
            Some((removals, validation)) => {
                let weights = self.counted(&accepted);
                let all = self.rules.aggregate(&accepted.values, weights)?.unsqueeze(0)?;
                let WithoutEach { different, places } =
                    self.rules.leave_one_out(&accepted.values, weights)?;
                let evaluations = validation.evaluate(&Tensor::cat(&[all, different], 0)?)?;
                removals.harmful(&LeaveOneOut {
                    with_all: evaluations[0],
                    without: places.into_iter().map(|place| evaluations[1 + place]).collect(),
                    tie_breakers: removals.tie_breakers(round, &accepted.devices),
                })
            }
            None => BTreeSet::new(),
        };
        let removed = harmful.iter().map(|&row| accepted.devices[row]).collect();
        let kept = accepted.select(|row| !harmful.contains(&row))?.ok_or(RuleError::NoUpdates)?;
        Ok((removed, self.rules.aggregate(&kept.values, self.counted(&kept))?))
    }

    /// The number of examples behind each of `updates`, if the rule is told.
    fn counted<'a>(&self, updates: &'a Updates) -> Option<&'a [f64]> {
        self.scenario.aggregation.weighted.then_some(&updates.weights)
    }

    /// How good the global model is, in rounds with an evaluation.
    fn evaluate(&self, round: u32) -> anyhow::Result<Option<Evaluation>> {
        if !round.is_multiple_of(self.scenario.evaluation.every) && round != self.scenario.rounds {
            return Ok(None);
        }
        let evaluations = self.test.evaluate(&self.global.unsqueeze(0)?);
        Ok(evaluations.context("the global model cannot be evaluated")?.first().copied())
    }
}

/// What the rule says against the updates; an error if it is not that.
fn refused(error: RulesError) -> Result<RuleError, RulesError> {
    match error {
        RulesError::Rule(error) if !matches!(error, RuleError::Backend(_)) => Ok(error),
        error => Err(error),
    }
}
