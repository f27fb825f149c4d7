//! What compromised devices send, crafted where the models are.
//!
//! These are the attacks of `edge_client::attacks`, as operations on tensors. What is drawn is drawn by the same
//! streams, on the processors: crafted models are the same within rounding. Attacks on a device's own data are no matter
//! of this module.

mod gaussian;
mod krum;
mod statistics;
#[cfg(test)]
mod tests;
mod trimmed_mean;

use candle_core::{DType, Result, Tensor};
use edge_client::attacks::{FullKrum, PartialKrum};
use shared::random::Stream;
use shared::scenario::Knowledge::{Full, Partial};
use shared::scenario::{AttackKind, Direction, Scenario};

use super::rules::{Rules, RulesError};
use super::updates::rows_of;
use gaussian::Gaussian;
use krum::{Krum, Reach};
use trimmed_mean::{FullTrimmedMean, PartialTrimmedMean};

/// What the attacker sees of a round.
pub(super) struct View<'a> {
    /// The global model the round started from, `[d]`.
    pub(super) global: &'a Tensor,
    /// What all devices would honestly send, `[m, d]`.
    pub(super) everyone: &'a Tensor,
    /// The rows of the compromised devices, at least one.
    pub(super) colluders: &'a [u32],
    /// The rows of the others.
    pub(super) benign: &'a [u32],
    /// What was drawn for the compromised devices, `[c, d]`.
    pub(super) drawn: &'a Tensor,
    /// The rule that the attacker evaluates.
    pub(super) rules: &'a Rules,
}

impl View<'_> {
    /// Some of the models, `[k, d]`.
    fn rows(&self, rows: &[u32]) -> Result<Tensor> {
        rows_of(self.everyone, rows)
    }

    /// The global model in 64 bits, `[1, d]`.
    fn origin(&self) -> Result<Tensor> {
        self.global.to_dtype(DType::F64)?.unsqueeze(0)
    }

    /// What the global model would be without attack, `[1, d]`, in 64 bits.
    fn without_attack(&self, direction: Direction) -> std::result::Result<Tensor, RulesError> {
        Ok(match direction {
            Direction::Mean => statistics::mean(&self.everyone.to_dtype(DType::F64)?)?,
            Direction::Rule => {
                self.rules.aggregate(self.everyone, None)?.to_dtype(DType::F64)?.unsqueeze(0)?
            }
        })
    }
}

/// An attack that crafts models.
pub(super) trait Attack: Send + Sync {
    /// Draws what the compromised device of rank `rank` among those of the round will need, d values.
    fn draw(&self, rank: usize, random: &mut Stream, values: &mut [f32]);

    /// The crafted models, `[c, d]`; `None` if the devices are to behave.
    fn craft(&self, view: &View<'_>) -> std::result::Result<Option<Tensor>, RulesError>;
}

/// The attack of a scenario, if it has one that crafts.
pub(super) fn build(scenario: &Scenario) -> Option<Box<dyn Attack>> {
    let attack = &scenario.attack;
    Some(match (attack.kind, attack.knowledge) {
        (AttackKind::None | AttackKind::LabelFlip | AttackKind::BackGradient, _) => return None,
        (AttackKind::Gaussian, _) => Box::new(Gaussian),
        (AttackKind::TrimmedMean, Partial) => Box::new(PartialTrimmedMean),
        (AttackKind::TrimmedMean, Full) => Box::new(FullTrimmedMean::new(attack)),
        (AttackKind::Krum, Partial) => {
            Box::new(Krum::new(attack, Reach::Partial(PartialKrum::new(scenario))))
        }
        (AttackKind::Krum, Full) => Box::new(Krum::new(attack, Reach::Full(FullKrum::new(scenario)))),
    })
}
