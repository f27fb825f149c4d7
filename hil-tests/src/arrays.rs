//! Rules and attacks on arrays of a user's own: what `hil aggregate`, `hil craft` and the package for Python compute.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::iter::zip;
use std::sync::Arc;

use aggregator_node::screening::{Received, Screening, aggregate};
use anyhow::bail;
use candle_core::{Device, Tensor};
use input::chosen::Chosen;
use rayon::prelude::*;
use robust::{Byzantine, Context, InContext, Measured, Processors, Rule, State};
use scenario::attacks::{Attacked, Conditions, Crafting};
use scenario::catalogue::Catalogue;
use scenario::defense::{Defense, Stage};
use scenario::registry::Misfit;
use scenario::remembered::Remembered;
use scenario::tensor_executor::OnProcessors;
use toml::Table;
use wire::identity::DeviceId;

/// What is asked for makes no sense with these arrays, or at all.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl From<Misfit> for Refused {
    fn from(misfit: Misfit) -> Self {
        Refused(misfit.to_string())
    }
}

/// Makes sure that all values of the m `rows` are finite: rules and attacks take that for granted.
///
/// # Errors
/// [`Refused`] names the first that is not.
pub fn check_finite(rows: &[&[f32]]) -> Result<(), Refused> {
    // Without a way out in the middle, which would keep the compiler from vectors.
    let is_finite = |piece: &&[f32]| piece.iter().fold(true, |all, value| all & value.is_finite());
    let not_finite = |row: &&[f32]| !row.par_chunks(1 << 16).all(|piece| is_finite(&piece));
    let Some(row) = rows.par_iter().position_first(not_finite) else { return Ok(()) };
    let column = rows[row].iter().position(|value| !value.is_finite()).unwrap_or_default();
    Err(Refused(format!("row {row}, column {column} is no finite number")))
}

/// What came in in a round: m rows of d finite values.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What each device sent: updates, or models where `global` is given.
    pub rows: &'a [&'a [f32]],
    /// Who sent each row, in ascending order.
    pub devices: &'a [u32],
    /// The model that the round started from, d values: rows and the result are models then.
    pub global: Option<&'a [f32]>,
    /// The number of examples that each device trained on; all the same, if nobody knows.
    pub examples: Option<&'a [f64]>,
    /// What the aggregator trained itself, d values as a row has them.
    pub root: Option<&'a [f32]>,
}

/// What came of a round.
#[derive(Clone, Debug)]
pub struct Aggregated {
    /// d values.
    pub values: Vec<f32>,
    /// Whose rows have a part in it, in ascending order.
    pub used: Vec<u32>,
    /// Whose rows the stages removed, in ascending order.
    pub removed: Vec<u32>,
}

/// A rule and the stages before it, with what they keep from round to round.
#[derive(Debug)]
pub struct Aggregator {
    rule: Chosen<dyn Rule>,
    stages: Vec<Chosen<dyn Stage>>,
    byzantine: usize,
    seed: u64,
    round: u32,
    remembered: Remembered,
}

impl Aggregator {
    /// The rule of `catalogue` that is called `rule`, with `settings`; it assumes `byzantine` devices to be Byzantine, and draws
    /// by `seed`. If it is a program, it is allowed: whoever names one here has it run.
    ///
    /// # Errors
    /// [`Refused`] if there is no such rule or setting.
    pub fn new(
        catalogue: &Catalogue,
        rule: &str,
        settings: Table,
        byzantine: usize,
        seed: u64,
    ) -> Result<Self, Refused> {
        let rule = catalogue.rules.choose(rule, settings, &|rule| rule.resolve(byzantine))?;
        if let Some(program) = rule.program() {
            program.allow();
        }
        let (stages, remembered) = (Vec::new(), Remembered::default());
        Ok(Aggregator { rule, stages, byzantine, seed, round: 0, remembered })
    }

    /// The same, with another stage before the rule, behind those that there are.
    ///
    /// # Errors
    /// [`Refused`] if there is no such stage or setting, or it judges by examples, of which arrays say nothing.
    pub fn with_stage(mut self, catalogue: &Catalogue, name: &str, settings: Table) -> Result<Self, Refused> {
        let stage = catalogue.stages.choose(name, settings, &|stage| stage.resolve(self.byzantine))?;
        stage.check().map_err(|(key, message)| Refused(format!("{key}: {message}")))?;
        if stage.validation_examples() > 0 {
            return Err(Refused(format!("{name} judges updates by examples: it can be used in a run only")));
        }
        if let Some(program) = stage.program() {
            program.allow();
        }
        self.stages.push(stage);
        Ok(self)
    }

    /// What it keeps for later rounds.
    pub fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// How many rounds it has aggregated.
    pub fn rounds(&self) -> u32 {
        self.round
    }

    /// Goes on where another has been after so many `rounds`, with what that had kept.
    pub fn resume(&mut self, rounds: u32, remembered: Remembered) {
        (self.round, self.remembered) = (rounds, remembered);
    }

    /// Aggregates a round. After an error it is as before.
    ///
    /// # Errors
    /// [`Refused`] if the rule's condition fails, or devices are not one for each row, in ascending order; what stages and rule
    /// say against the rows.
    pub fn aggregate(&mut self, given: Given<'_>) -> anyhow::Result<Aggregated> {
        let Given { rows, devices, global, examples, root } = given;
        let byzantine = Byzantine::of(self.byzantine);
        self.rule.check(rows.len(), byzantine).map_err(|unfit| Refused(unfit.to_string()))?;
        if devices.len() != rows.len() || !devices.is_sorted_by(|one, next| one < next) {
            bail!(Refused(format!("devices: give {}, one for each row, in ascending order", rows.len())));
        }
        let root: Option<Arc<[f32]>> = root.map(|root| match global {
            Some(global) => zip(root, global).map(|(value, origin)| value - origin).collect(),
            None => root.into(),
        });
        let round = self.round + 1;
        let mut after = self.remembered.clone();
        let (state, seed) = (Some(&self.remembered.rule), self.seed);
        let context = Context { state, devices, seed, round, root: root.as_ref() };
        let screening = Screening::default();
        let received = Received {
            screening: &screening,
            devices: devices.iter().copied().map(DeviceId).collect(),
            rows: rows.iter().copied().map(Cow::Borrowed).collect(),
            weights: examples.map_or_else(|| vec![1.0; rows.len()], <[f64]>::to_vec),
            byzantine,
            origin: global,
            measured: Measured::default(),
            rule: InContext { rule: &*self.rule, context },
            executor: &Processors,
        };
        let (stages, attackers) = (&*self.stages, &BTreeSet::new());
        let left =
            Defense { stages, seed, attackers, round, byzantine }.screen(received, &mut after.stages)?;
        let (aggregate, used) = aggregate(&left, &mut after.rule)?;
        let numbers = |devices: Vec<DeviceId>| devices.into_iter().map(|device| device.0).collect();
        let removed: Vec<u32> = numbers(left.removed);
        let used = match numbers(used) {
            all if all.is_empty() && !aggregate.used.is_empty() => {
                devices.iter().copied().filter(|it| !removed.contains(it)).collect()
            }
            some => some,
        };
        (self.round, self.remembered) = (round, after);
        Ok(Aggregated { values: aggregate.values, used, removed })
    }
}

/// Compromised devices, and the rule that they attack.
#[derive(Clone, Debug)]
pub struct Attackers<'a> {
    /// The name of the attack.
    pub attack: &'a str,
    /// Its settings.
    pub settings: Table,
    /// How many they are: the first rows, which are what they would honestly send.
    pub compromised: usize,
    /// The name of the rule, for an attack that tries it out.
    pub rule: &'a str,
    /// How many devices the rule assumes to be Byzantine; as many as are compromised, if nothing is said.
    pub byzantine: Option<usize>,
    /// The seed of what the attack draws.
    pub seed: u64,
}

/// What examples may look like, of which updates say nothing: a trigger is only stamped on data.
const EXAMPLES: &[usize] = &[28, 28];
const CLASSES: usize = 10;

impl Attackers<'_> {
    /// What they send in place of their `rows`, c x d values row by row; `None` if nothing can be crafted, so that they send
    /// these. `rows` are all m that came in, d finite values each: updates, or models that were trained from `global`. A
    /// program is allowed: whoever names one here has it run.
    ///
    /// # Errors
    /// [`Refused`] if there is no such attack, setting or rule, or it crafts nothing of such rows; what the attack says against
    /// them.
    pub fn craft(
        self,
        catalogue: &Catalogue,
        rows: &[&[f32]],
        global: Option<&[f32]>,
    ) -> anyhow::Result<Option<Vec<f32>>> {
        let Attackers { compromised, seed, .. } = self;
        let byzantine = self.byzantine.unwrap_or(compromised);
        let attack = catalogue.attacks.choose(self.attack, self.settings, &|_| {}).map_err(Refused::from)?;
        let rule = catalogue.rules.choose(self.rule, Table::new(), &|rule| rule.resolve(byzantine));
        let rule = rule.map_err(Refused::from)?;
        if let Some(program) = attack.program() {
            program.allow();
        }
        let (devices, dimension) = (rows.len(), rows.first().map_or(0, |row| row.len()));
        if compromised == 0 || compromised > devices {
            bail!(Refused(format!("compromised = {compromised}: give 1 to {devices}, the number of rows")));
        }
        let conditions = Conditions {
            shape: EXAMPLES,
            classes: CLASSES,
            devices: devices as u32,
            compromised: compromised as u32,
            selected: devices as u32,
            byzantine: byzantine as u32,
        };
        attack.check(&conditions).map_err(|(key, message)| Refused(format!("{key}: {message}")))?;
        let attacked = Attacked { seed, rule: &*rule, selected: devices, byzantine };
        let devices: Vec<DeviceId> = (0..devices as u32).map(DeviceId).collect();
        let attackers: BTreeSet<DeviceId> = devices[..compromised].iter().copied().collect();
        let Some(crafting) = Crafting::of(&*attack, attacked, 1, devices, &attackers) else {
            bail!(Refused(format!(
                "{} crafts nothing of these updates: `hil list attacks` says what it does; under full knowledge there must \
                 be benign rows",
                self.attack
            )));
        };
        let place = &Device::Cpu;
        let drawn = Tensor::from_vec(crafting.draw(dimension), (compromised, dimension), place)?;
        let models = Tensor::from_vec(rows.concat(), (rows.len(), dimension), place)?;
        let origin = global.map_or_else(|| Cow::Owned(vec![0.0; dimension]), Cow::Borrowed);
        let global = Tensor::new(&*origin, place)?;
        let crafted = crafting.craft(&drawn, &models, &global, &OnProcessors, &mut State::default())?;
        Ok(crafted.map(|crafted| crafted.flatten_all()?.to_vec1()).transpose()?)
    }
}
