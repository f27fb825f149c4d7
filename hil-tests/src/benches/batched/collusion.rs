//! What the compromised devices of a round send in place of what they trained.

use std::collections::BTreeSet;

use candle_core::Tensor;
use robust::{RuleError, State};
use scenario::Scenario;
use scenario::attack_record::{AttackEvent, AttackStep};
use scenario::attacks::Models;
use scenario::attacks::{AttackError, Crafting, Needs};
use scenario::tensor_executor::TensorExecutor;
use tracing::warn;
use wire::identity::DeviceId;

use super::updates::{are_finite, rows_of};

/// The attack on one round.
pub(super) struct Collusion<'a> {
    scenario: &'a Scenario,
    round: u32,
    attackers: &'a BTreeSet<DeviceId>,
    crafting: Crafting<'a>,
}

impl<'a> Collusion<'a> {
    /// The attack on a round of which `devices` are, some of them `attackers`; `None` if there is none that crafts, or they
    /// cannot know enough.
    pub(super) fn of(
        scenario: &'a Scenario,
        round: u32,
        devices: Vec<DeviceId>,
        attackers: &'a BTreeSet<DeviceId>,
    ) -> Option<Self> {
        let crafting = scenario.crafting(round, devices, attackers)?;
        Some(Collusion { scenario, round, attackers, crafting })
    }

    /// What is drawn for the compromised devices, `[c, d]` row by row.
    pub(super) fn draw(&self, dimension: usize) -> Vec<f32> {
        self.crafting.draw(dimension).into_iter().map(|value| value as f32).collect()
    }

    /// The `models` of all, `[m, d]`, with what was crafted of them and what was `drawn` in the rows of compromised
    /// devices; as they are, if nothing was crafted. And what each compromised device did.
    ///
    /// `state` is what the attack has kept, and then with this round.
    ///
    /// A model that is not finite is of no use to anybody, and its device sends it as it is.
    pub(super) fn attack(
        &self,
        drawn: Vec<f32>,
        models: Tensor,
        global: &Tensor,
        executor: &dyn TensorExecutor,
        state: &mut State,
    ) -> Result<(Tensor, Vec<AttackEvent>), AttackError> {
        let finite = are_finite(&models)?;
        let rows: Vec<u32> = (0..).zip(&finite).filter_map(|(row, finite)| finite.then_some(row)).collect();
        let (colluders, benign) = self.crafting.rows();
        let sent_trained = |rows: &mut dyn Iterator<Item = &u32>| -> Vec<_> {
            rows.map(|row| self.did(*row, AttackStep::SentTrained)).collect()
        };
        if rows.len() < finite.len() {
            let devices = rows.iter().map(|&row| self.crafting.devices()[row as usize]).collect();
            let Some(others) = Collusion::of(self.scenario, self.round, devices, self.attackers) else {
                return Ok((models, sent_trained(&mut colluders.iter())));
            };
            let drawn = others.draw(models.dim(1)?);
            let (attacked, mut events) =
                others.attack(drawn, rows_of(&models, &rows)?, global, executor, state)?;
            let left_out = colluders.iter().filter(|row| !finite[**row as usize]);
            events.extend(sent_trained(&mut left_out.into_iter()));
            return Ok((with_rows(models, &rows, attacked)?, events));
        }
        let drawn = Tensor::from_vec(drawn, (colluders.len(), models.dim(1)?), models.device())?;
        let crafted = match self.crafting.craft(&drawn, &models, global, executor, state) {
            Ok(crafted) => crafted,
            Err(AttackError::Rule(error)) if !matches!(error, RuleError::Backend(_)) => {
                warn!("round {}: nothing crafted: {}", self.round, AttackError::Rule(error));
                return Ok((models, sent_trained(&mut colluders.iter())));
            }
            Err(error @ AttackError::Program(_)) => {
                warn!("round {}: nothing crafted: {error}", self.round);
                return Ok((models, sent_trained(&mut colluders.iter())));
            }
            Err(error) => return Err(error),
        };
        let mut events: Vec<_> =
            colluders.iter().map(|row| self.did(*row, AttackStep::SentCrafted)).collect();
        let benign = if self.scenario.needs() == Needs::Everyone { benign.len() } else { 0 };
        let from = Models { colluders: colluders.len() as u32, benign: benign as u32 };
        // The first of all leads, selected or not.
        let device = *self.attackers.first().unwrap_or(&self.crafting.devices()[colluders[0] as usize]);
        let what = AttackStep::Crafted { from, gave_up: crafted.is_none() };
        events.push(AttackEvent { device, round: self.round, what });
        Ok(match crafted {
            Some(crafted) => (with_rows(models, colluders, crafted)?, events),
            None => (models, events),
        })
    }

    fn did(&self, row: u32, what: AttackStep) -> AttackEvent {
        AttackEvent { device: self.crafting.devices()[row as usize], round: self.round, what }
    }
}

/// A matrix with `others` in place of the rows of these numbers.
pub(super) fn with_rows(matrix: Tensor, rows: &[u32], others: Tensor) -> candle_core::Result<Tensor> {
    let count = matrix.dim(0)? as u32;
    let mut places: Vec<u32> = (0..count).collect();
    for (row, place) in rows.iter().zip(count..) {
        places[*row as usize] = place;
    }
    rows_of(&Tensor::cat(&[matrix, others], 0)?, &places)
}
