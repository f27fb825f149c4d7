//! The rounds of a run.

use std::collections::BTreeSet;
use std::sync::Arc;

use aggregator_node::defense::{LeaveOneOut, Removals, validation_examples};
use aggregator_node::evaluator::BATCH;
use aggregator_node::record::{RefusedDevice, RoundRecord};
use aggregator_node::trial::{LARGE, Trial};
use anyhow::{Context, bail};
use candle_core::Tensor;
use edge_client::attacks::{self as device_attacks, Needs};
use edge_client::worker::Worker;
use rayon::prelude::*;
use shared::attack_record::{AttackEvent, AttackRecord, AttackStep};
use shared::data::Shard;
use shared::identity::DeviceId;
use shared::models::Model;
use shared::parameters::first_not_finite;
use shared::rules::RuleError;
use shared::scenario::Scenario;
use shared::wire::Refusal;
use tracing::warn;

use super::Place;
use super::attacks::{self, Attack};
use super::collusion::Collusion;
use super::evaluator::Evaluator;
use super::examples::Examples;
use super::rules::{Rules, RulesError, WithoutEach};
use super::trainer::Trainer;
use super::updates::{Updates, are_finite};
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
    place: Place,
    rules: Rules,
    trial: Trial,
    defense: Option<(Removals, Evaluator)>,
    test: Evaluator,
    /// The global model, `[d]`.
    global: Tensor,
    /// Its values.
    values: Arc<[f32]>,
}

impl Simulation {
    /// The run of `task`, from the model `global`, in a place.
    ///
    /// # Errors
    /// If the model cannot be trained so, there are too few validation examples, or the GPU fails.
    pub(super) fn new(
        task: &Task,
        model: &Arc<dyn Model>,
        global: Arc<[f32]>,
        place: &Place,
    ) -> anyhow::Result<Self> {
        let (scenario, data, device) = (&task.scenario, &task.data, &place.device);
        let shards = data.shards(scenario);
        let [first, ..] = &shards[..] else { bail!("the scenario has no devices") };
        let train = first.dataset();
        let examples = Examples::new(train, device).context("the training examples do not fit the GPU")?;
        let trainer = Trainer::new(scenario, model.as_ref(), data.test.shape(), examples, device.clone());
        let network = trainer.network();
        let values = network.values_at_a_time();
        let evaluator = |batches: Vec<_>| Evaluator::new(network.clone(), batches, device, values);
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
            rules: Rules::new(scenario, place),
            place: place.clone(),
            defense: Removals::of(scenario).map(validation).transpose()?,
            trial: Trial::new(model.clone(), &data.test),
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
        let selected: Vec<DeviceId> = self.scenario.selection(round).into_iter().collect();
        let (sent, attack) = self.sent(round, &selected)?;
        let finite = self.are_usable(&sent.values)?;
        let not_finite = selected.iter().zip(&finite).filter(|(_, finite)| !**finite);
        let refused: Vec<DeviceId> = not_finite.map(|(&device, _)| device).collect();
        let accepted = sent.select(|row| finite[row])?;
        let count = selected.len() - refused.len();
        let (train_loss, losses_ignored) = accepted.as_ref().map(Updates::mean_loss).unwrap_or_default();
        let enough = self.scenario.fewer_byzantine(count, refused.len());
        let fewer = *enough.as_ref().unwrap_or(&0);
        let (aggregated, removed) = match (enough, accepted) {
            (Ok(_), Some(accepted)) => self.aggregate(round, accepted, fewer)?,
            (enough, _) => {
                let why = enough.err().map(|reason| format!(": {reason}")).unwrap_or_default();
                warn!("round {round}: the global model stays as it is{why}");
                (false, Vec::new())
            }
        };
        let reason = Refusal::NonFinite;
        let refused_device = |&device: &DeviceId| RefusedDevice { device: Some(device), reason };
        let mut record = RoundRecord {
            round,
            selected: selected.len() as u32,
            accepted: count as u32,
            refused: (!refused.is_empty()).then_some((reason, refused.len() as u32)).into_iter().collect(),
            refused_devices: refused.iter().map(refused_device).collect(),
            byzantine: (aggregated && fewer > 0).then(|| self.scenario.byzantine() - fewer),
            losses_ignored,
            removed,
            aggregated,
            train_loss,
            attack,
            ..RoundRecord::default()
        };
        if self.scenario.evaluates(round) {
            let evaluation = self.test.evaluate_classes(&self.global);
            record.enter(evaluation.context("the global model cannot be evaluated")?);
        }
        Ok((record, self.values.clone()))
    }

    /// Whether each of the rows is finite, and one that training can go on from.
    fn are_usable(&self, values: &Tensor) -> anyhow::Result<Vec<bool>> {
        let mut usable = are_finite(values)?;
        let largest = values.abs()?.max(1)?.to_vec1::<f32>()?;
        for (row, usable) in usable.iter_mut().enumerate() {
            if *usable && largest[row] > LARGE {
                *usable = self.trial.is_usable(&values.get(row)?.to_vec1::<f32>()?);
            }
        }
        Ok(usable)
    }

    /// What `devices` send, at least one: what they trained, or what was crafted for them. And how that came about.
    fn sent(&self, round: u32, devices: &[DeviceId]) -> anyhow::Result<(Updates, Option<AttackRecord>)> {
        let drawn: Vec<_> =
            devices.par_iter().map(|device| self.devices[device.0 as usize].drawn(round)).collect();
        let collusion = self.collusion(round, devices);
        // What is drawn for an attack hangs on no model.
        let (trained, drawn) = rayon::join(
            || self.trainer.train(&self.global, &drawn),
            || collusion.as_ref().map(|collusion| collusion.draw(self.values.len())),
        );
        let trained = trained.context("the devices cannot be trained")?;
        let (values, events) = if let Some((collusion, drawn)) = collusion.zip(drawn) {
            let attacked = collusion.attack(drawn, trained.models, &self.global, &self.rules);
            attacked.context("the attack cannot be crafted")?
        } else {
            let attackers = devices.iter().filter(|device| self.attackers.contains(device));
            let behaves = |&device: &DeviceId| AttackEvent { device, round, what: AttackStep::SentTrained };
            (trained.models, attackers.map(behaves).collect())
        };
        let attack = AttackRecord::of(&self.scenario, round, &events);
        let weights = devices.iter().map(|device| self.weights[device.0 as usize]).collect();
        let sent = Updates { devices: devices.to_vec(), values, weights, losses: trained.losses.to_vec1()? };
        Ok((sent, attack))
    }

    /// The attack on `round`, if there is one that crafts.
    fn collusion(&self, round: u32, devices: &[DeviceId]) -> Option<Collusion<'_>> {
        let (attack, needs) = self.attack.as_ref()?;
        let attacked = self.scenario.attack_rounds().contains(round);
        let seed = self.scenario.seed;
        let collusion =
            || Collusion::of(attack.as_ref(), *needs, (seed, round), devices.to_vec(), &self.attackers);
        attacked.then(collusion).flatten()
    }

    /// The new global model, unless it stays as it is, and whose updates the defense removed.
    fn aggregate(
        &mut self,
        round: u32,
        accepted: Updates,
        fewer: u32,
    ) -> anyhow::Result<(bool, Vec<DeviceId>)> {
        let what = match self.defended(round, accepted, fewer) {
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
            Err(error) => error.refusal().context("the updates cannot be aggregated")?,
        };
        warn!("round {round}: the global model stays as it is: {what}");
        Ok((false, Vec::new()))
    }

    /// Whose updates the defense removes, and the aggregate of the others, `[d]`.
    /// The rule and the defense reckon with `fewer` Byzantine devices than the scenario.
    fn defended(
        &self,
        round: u32,
        accepted: Updates,
        fewer: u32,
    ) -> Result<(Vec<DeviceId>, Tensor), RulesError> {
        let other = (fewer > 0).then(|| Rules::new(&self.scenario.with_fewer_byzantine(fewer), &self.place));
        let rules = other.as_ref().unwrap_or(&self.rules);
        let harmful = match &self.defense {
            Some((removals, validation)) => {
                let weights = self.counted(&accepted);
                let with_all = rules.aggregate(&accepted.values, weights)?.unsqueeze(0)?;
                let WithoutEach { different, places } = rules.leave_one_out(&accepted.values, weights)?;
                // What equals the aggregate with all is as good as that, to the last bit.
                let apart = different.broadcast_ne(&with_all)?.max(1)?.to_vec1::<u8>()?;
                let evaluations = validation.evaluate(&Tensor::cat(&[with_all, different], 0)?)?;
                let without = |place: usize| evaluations[if apart[place] == 0 { 0 } else { 1 + place }];
                let evidence = LeaveOneOut {
                    with_all: evaluations[0],
                    without: places.into_iter().map(without).collect(),
                    tie_breakers: removals.tie_breakers(round, &accepted.devices),
                };
                removals.harmful(&evidence, fewer)
            }
            None => BTreeSet::new(),
        };
        let removed = harmful.iter().map(|&row| accepted.devices[row]).collect();
        let kept = accepted.select(|row| !harmful.contains(&row))?.ok_or(RuleError::NoUpdates)?;
        Ok((removed, rules.aggregate(&kept.values, self.counted(&kept))?))
    }

    /// The number of examples behind each of `updates`, if the rule is told.
    fn counted<'a>(&self, updates: &'a Updates) -> Option<&'a [f64]> {
        self.scenario.aggregation.weighted.then_some(&updates.weights)
    }
}
