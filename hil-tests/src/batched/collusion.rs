//! What the compromised devices of a round send in place of what they trained.

use std::collections::BTreeSet;

use candle_core::Tensor;
use edge_client::attacks::Needs;
use rayon::prelude::*;
use shared::attack_record::{AttackEvent, AttackStep, Models};
use shared::identity::DeviceId;
use shared::random::{Purpose, stream};
use tracing::warn;

use super::attacks::{Attack, View};
use super::rules::{Rules, RulesError};
use super::updates::{are_finite, rows_of};

/// The attack on one round.
pub(super) struct Collusion<'a> {
    attack: &'a dyn Attack,
    needs: Needs,
    seed: u64,
    round: u32,
    attackers: &'a BTreeSet<DeviceId>,
    /// The devices of the round.
    devices: Vec<DeviceId>,
    /// The rows of those that are compromised, at least one, and of the others.
    colluders: Vec<u32>,
    benign: Vec<u32>,
}

impl<'a> Collusion<'a> {
    /// The attack on a round of which `devices` are, some of them `attackers`; `None` if they cannot know enough.
    pub(super) fn of(
        attack: &'a dyn Attack,
        needs: Needs,
        (seed, round): (u64, u32),
        devices: Vec<DeviceId>,
        attackers: &'a BTreeSet<DeviceId>,
    ) -> Option<Self> {
        let is_compromised = |&row: &u32| attackers.contains(&devices[row as usize]);
        let (colluders, benign): (Vec<u32>, Vec<u32>) = (0..devices.len() as u32).partition(is_compromised);
        needs.are_met(colluders.len(), benign.len()).then_some(Collusion {
            attack,
            needs,
            seed,
            round,
            attackers,
            devices,
            colluders,
            benign,
        })
    }

    /// What is drawn for the compromised devices, `[c, d]` row by row.
    pub(super) fn draw(&self, dimension: usize) -> Vec<f32> {
        let mut drawn = vec![0.0; self.colluders.len() * dimension];
        let rows = drawn.par_chunks_exact_mut(dimension).zip(&self.colluders).enumerate();
        rows.for_each(|(rank, (values, &row))| {
            let device = self.devices[row as usize];
            self.attack.draw(rank, &mut stream(self.seed, Purpose::Attack, Some(device), self.round), values);
        });
        drawn
    }

    /// The `models` of all, `[m, d]`, with what was crafted of them and what was `drawn` in the rows of compromised
    /// devices; as they are, if nothing was crafted. And what each compromised device did.
    ///
    /// A model that is not finite is of no use to anybody, and its device sends it as it is.
    pub(super) fn attack(
        &self,
        drawn: Vec<f32>,
        models: Tensor,
        global: &Tensor,
        rules: &Rules,
    ) -> Result<(Tensor, Vec<AttackEvent>), RulesError> {
        let finite = are_finite(&models)?;
        let rows: Vec<u32> = (0..).zip(&finite).filter_map(|(row, finite)| finite.then_some(row)).collect();
        if rows.len() < finite.len() {
            let devices = rows.iter().map(|&row| self.devices[row as usize]).collect();
            let (seed, attackers) = ((self.seed, self.round), self.attackers);
            let Some(others) = Collusion::of(self.attack, self.needs, seed, devices, attackers) else {
                let events =
                    self.colluders.iter().map(|row| self.did(*row, AttackStep::SentTrained)).collect();
                return Ok((models, events));
            };
            let drawn = others.draw(models.dim(1)?);
            let (attacked, mut events) = others.attack(drawn, rows_of(&models, &rows)?, global, rules)?;
            let left_out = self.colluders.iter().filter(|row| !finite[**row as usize]);
            events.extend(left_out.map(|row| self.did(*row, AttackStep::SentTrained)));
            return Ok((with_rows(models, &rows, attacked)?, events));
        }
        let (colluders, benign) = (&self.colluders[..], &self.benign[..]);
        let drawn = Tensor::from_vec(drawn, (colluders.len(), models.dim(1)?), models.device())?;
        let view = View { global, everyone: &models, colluders, benign, drawn: &drawn, rules };
        let (crafted, sent) = match self.attack.craft(&view) {
            Ok(crafted) => (crafted, AttackStep::SentCrafted),
            Err(error) => {
                warn!("round {}: nothing crafted: {}", self.round, error.refusal()?);
                (None, AttackStep::SentTrained)
            }
        };
        let mut events: Vec<_> = colluders.iter().map(|row| self.did(*row, sent)).collect();
        if sent == AttackStep::SentCrafted {
            let benign = if self.needs == Needs::Everyone { benign.len() } else { 0 };
            let from = Models { colluders: colluders.len() as u32, benign: benign as u32 };
            // The first of all leads, selected or not.
            let device = *self.attackers.first().unwrap_or(&self.devices[colluders[0] as usize]);
            let what = AttackStep::Crafted { from, gave_up: crafted.is_none() };
            events.push(AttackEvent { device, round: self.round, what });
        }
        Ok(match crafted {
            Some(crafted) => (with_rows(models, colluders, crafted)?, events),
            None => (models, events),
        })
    }

    fn did(&self, row: u32, what: AttackStep) -> AttackEvent {
        AttackEvent { device: self.devices[row as usize], round: self.round, what }
    }
}

/// A matrix with `others` in place of the rows of these numbers.
fn with_rows(matrix: Tensor, rows: &[u32], others: Tensor) -> candle_core::Result<Tensor> {
    let count = matrix.dim(0)? as u32;
    let mut places: Vec<u32> = (0..count).collect();
    for (row, place) in rows.iter().zip(count..) {
        places[*row as usize] = place;
    }
    rows_of(&Tensor::cat(&[matrix, others], 0)?, &places)
}
