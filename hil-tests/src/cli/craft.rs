//! `hil craft`.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use input::npy::{self, Array};
use scenario::catalogue::Catalogue;
use scenario::table_of;

use super::arrays::Models;
use super::common::{Ending, UsageError};
use crate::arrays::Attackers;

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

impl CraftArgs {
    /// Crafts.
    ///
    /// # Errors
    /// An attack, rule, setting or file that is unusable, and what the attack says against the updates.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let settings = table_of(&self.settings).map_err(UsageError)?;
        let matrix = self.models.read()?;
        let attackers = Attackers {
            attack: &self.attack,
            settings,
            compromised: self.compromised,
            rule: &self.rule,
            byzantine: self.byzantine,
            seed: self.seed,
        };
        let rows = matrix.rows();
        let crafted = attackers.craft(catalogue, &rows, matrix.global.as_deref())?;
        let what = if crafted.is_some() { "crafted" } else { "nothing could be crafted: rows as they came" };
        let values = crafted.unwrap_or_else(|| rows[..self.compromised].concat());
        let array = Array { shape: vec![self.compromised, matrix.dimension()], values };
        npy::write(&self.out, &array).with_context(|| self.out.display().to_string())?;
        let (attack, out) = (&self.attack, self.out.display());
        link::print(format_args!("{attack}: {} rows, {what}: {out}", self.compromised))?;
        Ok(Ending::Finished)
    }
}
