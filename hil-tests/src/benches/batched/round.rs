//! The rounds of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aggregator_node::evaluator::{BATCH, Evaluator as OnProcessors, Examples as Validation};
use aggregator_node::root::Root;
use aggregator_node::screening::{validation_examples, validation_sizes};
use aggregator_node::trial::{LARGE, Trial};
use anyhow::{Context, bail};
use candle_core::Tensor;
use edge_client::worker::Worker;
use learning::data::Shard;
use learning::evaluation::{ClassEvaluation, Evaluation};
use learning::models::{Model, ModelError, many_devices, restore_frozen};
use learning::parameters::first_not_finite;
use learning::random::{Purpose, stream};
use rayon::prelude::*;
use record::{RefusedDevice, RoundRecord};
use robust::{Byzantine, Context as Known, Geometry, InContext, Measured, Round, Rule, RuleError};
use scenario::Scenario;
use scenario::attack_record::{AttackEvent, AttackRecord, AttackStep};
use scenario::defense::{Arriving, Defense, DefenseError, Mixtures, among};
use scenario::remembered::Remembered;
use scenario::tensor_executor::{LeaveOneOutAggregates, TensorExecutor, TensorUpdates};
use tracing::warn;
use wire::Refusal;
use wire::identity::DeviceId;

use super::Place;
use super::collusion::{Collusion, with_rows};
use super::evaluator::Evaluator;
use super::examples::Examples;
use super::trainer::{Trained, Trainer};
use super::updates::{Updates, are_finite};
use crate::benches::Task;

/// A run in progress.
pub(super) struct Simulation {
    scenario: Arc<Scenario>,
    /// What draws the minibatches of each device.
    devices: Vec<Worker>,
    /// Number of examples of each.
    weights: Vec<f64>,
    attackers: BTreeSet<DeviceId>,
    trainer: Trainer,
    place: Place,
    model: Arc<dyn Model>,
    trial: Trial,
    root: Option<Root>,
    /// By their number: what evaluates on so many validation examples, and what represents them.
    validation: BTreeMap<usize, (Evaluator, OnProcessors)>,
    test: Evaluator,
    /// What judges by the examples that the attack is after.
    stamped: Option<Evaluator>,
    /// The global model, `[d]`.
    global: Tensor,
    /// Its values.
    values: Arc<[f32]>,
    /// What rule, stages and attack have kept of earlier rounds.
    remembered: Arc<Remembered>,
}

impl Simulation {
    /// The run of `task`, from the model `global` and what is `remembered` of earlier rounds, in a place.
    ///
    /// # Errors
    /// If the model cannot be trained so, there are too few validation examples, or the GPU fails.
    pub(super) fn new(
        task: &Task,
        model: &Arc<dyn Model>,
        global: Arc<[f32]>,
        remembered: Arc<Remembered>,
        place: &Place,
    ) -> anyhow::Result<Self> {
        let (scenario, data, device) = (&task.scenario, &task.data, &place.device);
        let shards = data.shards(scenario)?;
        let [first, ..] = &shards[..] else { bail!("the scenario has no devices") };
        let train = first.dataset();
        let examples = Examples::new(train, device).context("the training examples do not fit the GPU")?;
        let many = many_devices(model, data.test.shape());
        let values = many.values_at_a_time();
        let evaluator = |batches: Vec<_>| Evaluator::new(many.clone(), batches, device, values);
        let validation = |size| -> anyhow::Result<_> {
            let examples = validation_examples(scenario, &data.test, size)?;
            let represents = OnProcessors::new(model.clone(), Validation::Drawn(examples.clone()));
            Ok((size, (evaluator(examples)?, represents)))
        };
        let worker = |(index, shard): (usize, Shard)| {
            let device = DeviceId(index as u32);
            let worker = Worker::new(scenario.clone(), device, model.clone(), shard);
            worker.with_context(|| device.to_string())
        };
        let weights = shards.iter().map(|shard| shard.len() as f64).collect();
        // Gathered before any is looked at, so that it is always the first error that is reported.
        let devices: Vec<_> = shards.into_par_iter().enumerate().map(worker).collect();
        Ok(Simulation {
            weights,
            attackers: scenario.attackers(),
            place: place.clone(),
            validation: validation_sizes(scenario).map(validation).collect::<anyhow::Result<_>>()?,
            model: model.clone(),
            trial: Trial::new(model.clone(), &data.test),
            root: data.root.clone().map(|examples| Root::new(scenario, model.clone(), examples)),
            test: evaluator(data.test.batches(BATCH).collect())?,
            stamped: scenario
                .attack
                .kind
                .as_ref()
                .and_then(|attack| attack.stamped(&data.test).map(Arc::new))
                .or_else(|| data.held_out())
                .map(|examples| evaluator(examples.batches(BATCH).collect()))
                .transpose()?,
            global: Tensor::new(&global[..], device)?,
            values: global,
            remembered,
            devices: devices.into_iter().collect::<anyhow::Result<_>>()?,
            trainer: Trainer::new(scenario, many, examples, device.clone())
                .without(model.frozen(), model.layout().dimension())?,
            scenario: scenario.clone(),
        })
    }

    /// A round: what is to be recorded of it, the global model after it, d values, and what is kept for later ones.
    ///
    /// # Errors
    /// If candle or the GPU fails.
    pub(super) fn round(&mut self, round: u32) -> anyhow::Result<(RoundRecord, Arc<[f32]>, Arc<Remembered>)> {
        let selected: Vec<DeviceId> = self.scenario.selection(round).into_iter().collect();
        let absent = self.absent(round, &selected);
        let (sent, attack) = self.sent(round, &selected, &absent)?;
        let comes = |row: usize| !absent.contains(&selected[row]);
        let finite = self.are_usable(&sent.values)?;
        let not_finite = (0..selected.len()).filter(|&row| !finite[row] && comes(row));
        let refused: Vec<DeviceId> = not_finite.map(|row| selected[row]).collect();
        let accepted = sent.select(|row| finite[row] && comes(row))?;
        let count = selected.len() - absent.len() - refused.len();
        let (train_loss, losses_ignored) = accepted.as_ref().map(Updates::mean_loss).unwrap_or_default();
        let enough = self.scenario.fewer_byzantine(count, refused.len());
        let fewer = *enough.as_ref().unwrap_or(&0);
        let (aggregated, removed, used) = match (enough, accepted) {
            (Ok(_), Some(accepted)) => self.aggregate(round, accepted, fewer)?,
            (enough, _) => {
                let why = enough.err().map(|reason| format!(": {reason}")).unwrap_or_default();
                warn!("round {round}: the global model stays as it is{why}");
                (false, Vec::new(), Vec::new())
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
            absent,
            removed,
            used,
            aggregated,
            train_loss,
            attack,
            ..RoundRecord::default()
        };
        if self.scenario.evaluates(round) {
            record.enter(self.judged().context("the global model cannot be evaluated")?);
        }
        Ok((record, self.values.clone(), self.remembered.clone()))
    }

    /// How good the global model is, and how far the attack has come with it.
    fn judged(&self) -> Result<ClassEvaluation, ModelError> {
        let mut judged = self.test.evaluate_classes(&self.global)?;
        if let Some(stamped) = &self.stamped {
            let evaluations = stamped.evaluate(&self.global.unsqueeze(0)?)?;
            judged.attack_success = evaluations.first().map(|evaluation| 1.0 - evaluation.error_rate);
        }
        Ok(judged)
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
    fn sent(
        &mut self,
        round: u32,
        devices: &[DeviceId],
        absent: &[DeviceId],
    ) -> anyhow::Result<(Updates, Option<AttackRecord>)> {
        let drawn: Vec<_> =
            devices.par_iter().map(|device| self.devices[device.0 as usize].drawn(round)).collect();
        let collusion = self.collusion(round, devices);
        let before: Vec<_> = devices.iter().map(|device| self.remembered.momentum(device)).collect();
        // What is drawn for an attack hangs on no model.
        let (trained, drawn) = rayon::join(
            || self.trainer.train(round, &self.global, &drawn, &before),
            || collusion.as_ref().map(|collusion| collusion.draw(self.values.len())),
        );
        let trained = trained.context("the devices cannot be trained")?;
        let mut momenta = trained.momenta()?;
        let Trained { models, losses, .. } =
            self.with_dishonest(round, devices, before, trained, &mut momenta)?;
        let (values, events) = if let Some((collusion, drawn)) = collusion.zip(drawn) {
            let mut state = self.remembered.attack.clone();
            let (executor, global) = (&*self.place.executor, &self.global);
            let attacked = collusion.attack(drawn, models, global, executor, &mut state);
            let attacked = attacked.context("the attack cannot be crafted")?;
            Arc::make_mut(&mut self.remembered).attack = state;
            attacked
        } else {
            let attackers = devices.iter().filter(|device| self.attackers.contains(device));
            let behaves = |&device: &DeviceId| AttackEvent { device, round, what: AttackStep::SentTrained };
            (models, attackers.map(behaves).collect())
        };
        for (device, momentum) in devices.iter().zip(momenta).filter(|(_, momentum)| momentum.is_some()) {
            Arc::make_mut(&mut self.remembered).set_momentum(device, momentum);
        }
        let sends = |event: &AttackEvent| {
            matches!(event.what, AttackStep::Crafted { .. }) || !absent.contains(&event.device)
        };
        let events: Vec<_> = events.into_iter().filter(sends).collect();
        let attack = AttackRecord::of(&self.scenario, round, &events);
        let weights = devices.iter().map(|device| self.weights[device.0 as usize]).collect();
        let sent = Updates { devices: devices.to_vec(), values, weights, losses: losses.to_vec1()? };
        Ok((sent, attack))
    }

    /// What was `trained`, with what compromised devices train otherwise in place of it, from the momenta of earlier rounds;
    /// theirs are put in place of the honest `momenta`.
    fn with_dishonest(
        &self,
        round: u32,
        devices: &[DeviceId],
        before: Vec<Option<Arc<[f32]>>>,
        trained: Trained,
        momenta: &mut [Option<Arc<[f32]>>],
    ) -> anyhow::Result<Trained> {
        let (mut rows, mut losses) = (Vec::new(), trained.losses.to_vec1::<f32>()?);
        let mut values = Vec::new();
        for (row, (device, momentum)) in devices.iter().zip(before).enumerate() {
            let worker = &self.devices[device.0 as usize];
            if let Some(otherwise) = worker.trained_otherwise(round, &self.values, momentum) {
                let otherwise = otherwise.with_context(|| format!("{device} cannot be trained"))?;
                rows.push(row as u32);
                values.extend_from_slice(&otherwise.parameters);
                (losses[row], momenta[row]) = (otherwise.loss, otherwise.momentum);
            }
        }
        if rows.is_empty() {
            return Ok(trained);
        }
        let others = Tensor::from_vec(values, (rows.len(), self.values.len()), &self.place.device)?;
        let losses = Tensor::new(losses, &self.place.device)?;
        Ok(Trained { models: with_rows(trained.models, &rows, others)?, losses, ..trained })
    }

    /// Who of `devices` sends nothing in time, because an attack has it so.
    fn absent(&self, round: u32, devices: &[DeviceId]) -> Vec<DeviceId> {
        let attack = self.scenario.attack.kind.as_ref();
        let Some(attack) = attack.filter(|_| self.scenario.attack_rounds().contains(round)) else {
            return Vec::new();
        };
        let is_late = |device: &&DeviceId| {
            let random = &mut stream(self.scenario.seed, Purpose::Delivery, Some(**device), round);
            self.attackers.contains(device) && !attack.deliver(round, random).is_in_time(round)
        };
        devices.iter().filter(is_late).copied().collect()
    }

    /// The attack on `round`, if there is one that crafts.
    fn collusion(&self, round: u32, devices: &[DeviceId]) -> Option<Collusion<'_>> {
        let attacked = self.scenario.attack_rounds().contains(round);
        let collusion = || Collusion::of(&self.scenario, round, devices.to_vec(), &self.attackers);
        attacked.then(collusion).flatten()
    }

    /// The new global model, unless it stays as it is; whose updates the defense removed, and the rule used.
    fn aggregate(
        &mut self,
        round: u32,
        accepted: Updates,
        fewer: u32,
    ) -> anyhow::Result<(bool, Vec<DeviceId>, Vec<DeviceId>)> {
        let what = match self.defended(round, accepted, fewer) {
            Ok(Defended { removed, used, global, values, remembered }) => {
                let is_finite = first_not_finite(&values).is_none();
                if is_finite {
                    (self.global, self.values) = (global, values);
                    self.remembered = remembered.into();
                } else {
                    warn!("round {round}: the aggregate is not finite, the global model stays as it is");
                }
                return Ok((is_finite, removed, used));
            }
            Err(DefenseError::Rule(error)) if !matches!(error, RuleError::Backend(_)) => error,
            Err(error) => return Err(error).context("the updates cannot be aggregated"),
        };
        warn!("round {round}: the global model stays as it is: {what}");
        Ok((false, Vec::new(), Vec::new()))
    }

    /// Whose updates the defense removes, whose the rule uses if these are not all others, the new global model, and what is
    /// kept for later rounds. Rule and defense assume `fewer` Byzantine devices than the scenario.
    fn defended(&self, round: u32, accepted: Updates, fewer: u32) -> Result<Defended, DefenseError> {
        let (scenario, byzantine) = (&*self.scenario, self.scenario.assumed(fewer));
        let mut remembered = Remembered::clone(&self.remembered);
        let (state, seed) = (Some(&self.remembered.rule), scenario.seed);
        let root = self.root.as_ref();
        let root = root.map(|root| root.update(round, &self.values, &mut remembered)).transpose()?;
        let context = Known { state, seed, round, root: root.as_ref(), ..Known::default() };
        let rule = InContext { rule: &*scenario.aggregation.rule, context };
        let (stages, attackers) = (&scenario.defense, &self.attackers);
        let defense = Defense { stages, seed, attackers, round, byzantine };
        let measured = Measured::default();
        let arrived = Arrived { updates: accepted, measured, simulation: self, rule, byzantine };
        let left = defense.screen(arrived, &mut remembered.stages)?;
        let aggregate = |rule: &dyn Rule| {
            let (aggregate, used) = left.updates.aggregate(rule)?;
            let values: Arc<[f32]> = aggregate.to_vec1::<f32>().map_err(ModelError::from)?.into();
            let geometry = left.updates.geometry();
            rule.remember(&Round::new(&geometry, byzantine), &values, &mut remembered.rule)?;
            Ok::<_, DefenseError>((aggregate, values, used))
        };
        let (mut global, mut values, used) = left.ruled(&left.updates.rule, aggregate)?;
        if let Some(optimizer) = &scenario.optimizer {
            values = optimizer.step(&self.values, &values, &mut remembered.optimizer).into();
            global = Tensor::new(&values[..], &self.place.device).map_err(ModelError::from)?;
        }
        if !self.model.frozen().is_empty() {
            let mut restored = values.to_vec();
            restore_frozen(&*self.model, &mut restored, &self.values);
            values = restored.into();
            global = Tensor::new(&values[..], &self.place.device).map_err(ModelError::from)?;
        }
        let used = left.used(&used);
        Ok(Defended { removed: left.removed, used, global, values, remembered })
    }
}

/// What defense and rule make of a round.
struct Defended {
    removed: Vec<DeviceId>,
    used: Vec<DeviceId>,
    /// The new global model, `[d]`.
    global: Tensor,
    /// Its values.
    values: Arc<[f32]>,
    remembered: Remembered,
}

/// The updates of a round on their way through the defense.
struct Arrived<'a> {
    updates: Updates,
    measured: Measured,
    simulation: &'a Simulation,
    rule: InContext<'a>,
    byzantine: Byzantine,
}

impl Arrived<'_> {
    fn executor(&self) -> &dyn TensorExecutor {
        &*self.simulation.place.executor
    }

    fn rows(&self) -> TensorUpdates<'_> {
        TensorUpdates {
            values: &self.updates.values,
            examples: Some(&self.updates.weights),
            origin: &self.simulation.values,
            measured: Some(&self.measured),
        }
    }

    /// The aggregate, `[d]`, and the rows that have a part in it.
    fn aggregate(&self, rule: &dyn Rule) -> Result<(Tensor, Vec<usize>), DefenseError> {
        Ok(self.executor().aggregate(rule, self.rows(), self.byzantine)?)
    }
}

impl Arriving for Arrived<'_> {
    fn devices(&self) -> &[DeviceId] {
        &self.updates.devices
    }

    fn examples(&self) -> &[f64] {
        &self.updates.weights
    }

    fn geometry(&self) -> Geometry<'_> {
        let measure = self.executor().measure(self.rows());
        Geometry::new(self.updates.devices.len(), Some(&self.updates.weights), measure)
            .knowing(Some(self.measured.clone()))
    }

    fn evaluate(&self, examples: usize) -> Result<(Evaluation, Vec<Evaluation>), DefenseError> {
        let (validation, _) = &self.simulation.validation[&examples];
        let (with_all, without) = among(&self.rule, &self.updates.devices, |rule| {
            let (with_all, _) = self.aggregate(rule)?;
            Ok::<_, DefenseError>((
                with_all,
                self.executor().leave_one_out(rule, self.rows(), self.byzantine)?,
            ))
        })?;
        let LeaveOneOutAggregates { different, places } = without;
        let evaluate = || -> Result<_, ModelError> {
            let with_all = with_all.unsqueeze(0)?;
            // What equals the aggregate with all is as good as that, to the last bit.
            let apart = different.broadcast_ne(&with_all)?.max(1)?.to_vec1::<u8>()?;
            let evaluations = validation.evaluate(&Tensor::cat(&[with_all, different], 0)?)?;
            let without = |place: usize| evaluations[if apart[place] == 0 { 0 } else { 1 + place }];
            Ok((evaluations[0], places.into_iter().map(without).collect()))
        };
        Ok(evaluate()?)
    }

    fn represent(&self, examples: usize) -> Result<Vec<Vec<f32>>, DefenseError> {
        let (_, represents) = &self.simulation.validation[&examples];
        let rows = self.updates.values.to_vec2::<f32>().map_err(ModelError::from)?;
        Ok(represents.represent(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())?)
    }

    fn keep(self, rows: &[usize]) -> Result<Self, DefenseError> {
        let kept = self.updates.select(|row| rows.binary_search(&row).is_ok()).map_err(ModelError::from)?;
        let measured = self.measured.select(rows);
        Ok(Arrived { updates: kept.ok_or(RuleError::NoUpdates)?, measured, ..self })
    }

    fn mix(self, mixtures: &Mixtures) -> Result<Self, DefenseError> {
        let values = self.executor().combine(&mixtures.of, self.rows())?;
        let Updates { devices, losses, .. } = &self.updates;
        let loss = |device| devices.iter().position(|it| it == device).map_or(0.0, |row| losses[row]);
        let updates = Updates {
            values,
            losses: mixtures.devices.iter().map(loss).collect(),
            devices: mixtures.devices.clone(),
            weights: mixtures.examples.clone(),
        };
        Ok(Arrived { updates, measured: Measured::default(), ..self })
    }
}
