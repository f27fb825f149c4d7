//! `hil craft`.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use candle_core::{Device, Tensor};
use clap::Args;
use input::npy::{self, Array};
use robust::State;
use scenario::attacks::{Attacked, Conditions, Crafting};
use scenario::catalogue::Catalogue;
use scenario::table_of;
use scenario::tensor_executor::OnProcessors;
use toml::Table;
use wire::identity::DeviceId;

use super::arrays::{Matrix, Models};
use super::common::{Ending, UsageError};

/// Craft what compromised devices send, of updates of your own
///
///   cargo hil craft little-is-enough updates.npy --compromised 20 --out crafted.npy
///   cargo hil craft min-max updates.npy --compromised 20 --set knowledge=full --out crafted.npy
///   cargo hil craft inner-product updates.npy --compromised 20 --set optimise=true --rule krum --out crafted.npy
///
/// `hil list attacks` lists the attacks; those on data, in training or on the link craft nothing of updates. What an attack keeps
/// from round to round is as at the beginning of a run.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct CraftArgs {
    /// The attack
    attack: String,
    #[command(flatten)]
    models: Models,
    /// How many of the devices are compromised: the first rows, which are what they would honestly send
    #[arg(long, value_name = "N")]
    compromised: usize,
    /// Set one key of the attack, as in --set knowledge=full; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// The rule under attack, for an attack that tries it out
    #[arg(long, default_value = "mean")]
    rule: String,
    /// How many devices the rule assumes to be Byzantine [default: as many as are compromised]
    #[arg(long, value_name = "N")]
    byzantine: Option<usize>,
    /// The seed of what an attack draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where the crafted rows go, c x d numbers in numpy's format
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What examples may look like, of which updates say nothing: a trigger is only stamped on data.
const EXAMPLES: &[usize] = &[28, 28];
const CLASSES: usize = 10;

impl CraftArgs {
    /// Crafts.
    ///
    /// # Errors
    /// An attack, rule, setting or file that is unusable, and what the attack says against the updates.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let matrix = self.models.read()?;
        let crafted = self.craft(catalogue, &matrix)?;
        let sent = match &crafted {
            Some(crafted) => crafted.flatten_all()?.to_vec1()?,
            None => matrix.values()[..self.compromised * matrix.dimension()].to_vec(),
        };
        let array = Array { shape: vec![self.compromised, matrix.dimension()], values: sent };
        npy::write(&self.out, &array).with_context(|| self.out.display().to_string())?;
        let what = if crafted.is_some() { "crafted" } else { "nothing could be crafted: rows as they came" };
        let (attack, out) = (&self.attack, self.out.display());
        link::print(format_args!("{attack}: {} rows, {what}: {out}", self.compromised))?;
        Ok(Ending::Finished)
    }

    fn craft(&self, catalogue: &Catalogue, matrix: &Matrix) -> anyhow::Result<Option<Tensor>> {
        let byzantine = self.byzantine.unwrap_or(self.compromised);
        let settings = table_of(&self.settings).map_err(UsageError)?;
        let attack = catalogue.attacks.choose(&self.attack, settings, &|_| {});
        let attack = attack.map_err(|misfit| UsageError(misfit.to_string()))?;
        let rule = catalogue.rules.choose(&self.rule, Table::new(), &|rule| rule.resolve(byzantine));
        let rule = rule.map_err(|misfit| UsageError(misfit.to_string()))?;
        // Whoever names a program here has it run.
        if let Some(program) = attack.program() {
            program.allow();
        }
        let (devices, dimension) = (matrix.devices(), matrix.dimension());
        if self.compromised == 0 || self.compromised > devices {
            let what = format!("--compromised {}: give 1 to {devices}, the number of rows", self.compromised);
            return Err(UsageError(what).into());
        }
        let conditions = Conditions {
            shape: EXAMPLES,
            classes: CLASSES,
            devices: devices as u32,
            compromised: self.compromised as u32,
            selected: devices as u32,
            byzantine: byzantine as u32,
        };
        attack.check(&conditions).map_err(|(key, message)| UsageError(format!("{key}: {message}")))?;
        let attacked = Attacked { seed: self.seed, rule: &*rule, selected: devices, byzantine };
        let devices: Vec<DeviceId> = (0..devices as u32).map(DeviceId).collect();
        let attackers: BTreeSet<DeviceId> = devices[..self.compromised].iter().copied().collect();
        let Some(crafting) = Crafting::of(&*attack, attacked, 1, devices, &attackers) else {
            let what = format!(
                "{} crafts nothing of these updates: `hil list attacks` says what it does; under full knowledge there \
                 must be benign rows",
                self.attack
            );
            return Err(UsageError(what).into());
        };
        let (place, colluders) = (&Device::Cpu, self.compromised);
        let drawn = Tensor::from_vec(crafting.draw(dimension), (colluders, dimension), place)?;
        let models = Tensor::from_slice(matrix.values(), (matrix.devices(), dimension), place)?;
        let global = Tensor::new(matrix.global.as_slice(), place)?;
        Ok(crafting.craft(&drawn, &models, &global, &OnProcessors, &mut State::default())?)
    }
}
