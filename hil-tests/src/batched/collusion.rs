//! What the compromised devices of a round send in place of what they trained.

use std::collections::BTreeSet;

use candle_core::Tensor;
use edge_client::attacks::Needs;
use rayon::prelude::*;
use shared::identity::DeviceId;
use shared::random::{Purpose, stream};
use tracing::warn;

use super::attacks::{Attack, View};
use super::rules::{Rules, RulesError};
use super::updates::rows_of;

/// The attack on one round.
pub(super) struct Collusion<'a> {
    attack: &'a dyn Attack,
    seed: u64,
    round: u32,
    /// The compromised devices, at least one.
    names: Vec<DeviceId>,
    /// Their rows, and those of the others.
    colluders: Vec<u32>,
    benign: Vec<u32>,
}

impl<'a> Collusion<'a> {
    /// The attack on a round of which `devices` are, some of them `attackers`; `None` if they cannot know enough.
    pub(super) fn of(
        attack: &'a dyn Attack,
        needs: Needs,
        (seed, round): (u64, u32),
        devices: &[DeviceId],
        attackers: &BTreeSet<DeviceId>,
    ) -> Option<Self> {
        let is_compromised = |&row: &u32| attackers.contains(&devices[row as usize]);
        let (colluders, benign): (Vec<u32>, Vec<u32>) = (0..devices.len() as u32).partition(is_compromised);
        let enough = !colluders.is_empty() && (needs < Needs::Everyone || !benign.is_empty());
        let names = colluders.iter().map(|&row| devices[row as usize]).collect();
        enough.then_some(Collusion { attack, seed, round, names, colluders, benign })
    }

    /// What is drawn for the compromised devices, `[c, d]` row by row.
    pub(super) fn draw(&self, dimension: usize) -> Vec<f32> {
        let mut drawn = vec![0.0; self.names.len() * dimension];
        let rows = drawn.par_chunks_exact_mut(dimension).zip(&self.names).enumerate();
        rows.for_each(|(rank, (values, device))| {
            let mut random = stream(self.seed, Purpose::Attack, Some(*device), self.round);
            self.attack.draw(rank, &mut random, values);
        });
        drawn
    }

    /// The `models` of all, `[m, d]`, with what was crafted of them and what was `drawn` in the rows of compromised
    /// devices; as they are, if nothing was crafted.
    pub(super) fn attack(
        &self,
        drawn: Vec<f32>,
        models: Tensor,
        global: &Tensor,
        rules: &Rules,
    ) -> Result<Tensor, RulesError> {
        let (devices, dimension) = models.dims2()?;
        let drawn = Tensor::from_vec(drawn, (self.names.len(), dimension), models.device())?;
        let (colluders, benign) = (&self.colluders[..], &self.benign[..]);
        let view = View { global, everyone: &models, colluders, benign, drawn: &drawn, rules };
        let crafted = match self.attack.craft(&view) {
            Ok(crafted) => crafted,
            Err(error) => {
                warn!("round {}: nothing crafted: {}", self.round, error.refusal()?);
                None
            }
        };
        let Some(crafted) = crafted else { return Ok(models) };
        let mut places: Vec<u32> = (0..devices as u32).collect();
        for (row, place) in colluders.iter().zip(devices as u32..) {
            places[*row as usize] = place;
        }
        Ok(rows_of(&Tensor::cat(&[models, crafted], 0)?, &places)?)
    }
}
