//! What compromised devices do, behind one trait (paper sections 3 and 4.1).
//!
//! A new attack is one file here and one line in [`build`].

pub mod back_gradient;
mod direction;
mod gaussian;
mod krum;
mod krum_search;
mod label_flip;
mod statistics;
mod trimmed_mean;

use shared::identity::DeviceId;
use shared::random::{Purpose, Stream, stream};
use shared::rules::RuleError;
use shared::scenario::{AttackKind, Scenario};

pub use back_gradient::BackGradient;
pub use gaussian::Gaussian;
pub use krum::{FullKrum, PartialKrum, way_to_supporter};
pub use krum_search::{Measures, Offset};
pub use label_flip::LabelFlip;
pub use trimmed_mean::{FullTrimmedMean, PartialTrimmedMean};

/// What an attack must know before it can craft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Nothing of others: it poisons the device's own data.
    Nothing,
    /// The before-attack models of the compromised devices.
    Colluders,
    /// Those, and the updates of the benign devices.
    Everyone,
}

impl Needs {
    /// Whether the models of so many compromised and benign devices are enough to craft at all.
    pub fn are_met(self, colluders: usize, benign: usize) -> bool {
        colluders > 0 && (self < Needs::Everyone || benign > 0)
    }
}

/// What the attacker sees of a round. Models are flat vectors of length d in ascending order of device.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Seed of the run.
    pub seed: u64,
    /// The round.
    pub round: u32,
    /// The global model the round started from (the paper's g).
    pub global: &'a [f32],
    /// What the compromised devices would honestly send.
    pub before_attack: &'a [(DeviceId, &'a [f32])],
    /// What the benign devices sent; empty unless the attack [needs everyone](Needs::Everyone).
    pub benign: &'a [(DeviceId, &'a [f32])],
}

impl<'a> View<'a> {
    /// The random numbers of `device` in this round.
    pub fn stream(&self, device: DeviceId) -> Stream {
        stream(self.seed, Purpose::Attack, Some(device), self.round)
    }

    /// The before-attack models of the compromised devices.
    pub fn colluders(&self) -> Vec<&'a [f32]> {
        self.before_attack.iter().map(|(_, model)| *model).collect()
    }

    /// All before-attack models in ascending order of device: what the aggregator would have got.
    pub fn everyone(&self) -> Vec<&'a [f32]> {
        let mut all: Vec<_> = self.before_attack.iter().chain(self.benign).collect();
        all.sort_by_key(|(device, _)| *device);
        all.into_iter().map(|(_, model)| *model).collect()
    }
}

/// Why nothing was crafted; the compromised devices then send what they honestly trained.
#[derive(Debug, thiserror::Error)]
pub enum AttackError {
    /// A rule that the attacker tried out refused the models.
    #[error("cannot try out the rule under attack: {0}")]
    Rule(#[from] RuleError),
}

/// An attack.
pub trait Attack: Send + Sync {
    /// What it must know.
    fn needs(&self) -> Needs;

    /// The label that a compromised device trains with in place of `label`, of `classes` classes.
    fn label(&self, label: u8, _classes: usize) -> u8 {
        label
    }

    /// One crafted model for each before-attack model of the view, in the same order. Never called for an attack
    /// that [needs nothing](Needs::Nothing).
    ///
    /// # Errors
    /// [`AttackError`] if there is nothing to craft.
    fn craft(&self, view: &View<'_>) -> Result<Vec<Vec<f32>>, AttackError>;
}

/// The attack of a scenario, if it has one.
pub fn build(scenario: &Scenario) -> Option<Box<dyn Attack>> {
    use shared::scenario::Knowledge::{Full, Partial};
    match (scenario.attack.kind, scenario.attack.knowledge) {
        (AttackKind::None, _) => None,
        (AttackKind::Gaussian, _) => Some(Box::new(Gaussian)),
        (AttackKind::LabelFlip, _) => Some(Box::new(LabelFlip)),
        (AttackKind::BackGradient, _) => Some(Box::new(BackGradient)),
        (AttackKind::TrimmedMean, Partial) => Some(Box::new(PartialTrimmedMean)),
        (AttackKind::TrimmedMean, Full) => Some(Box::new(FullTrimmedMean::new(scenario))),
        (AttackKind::Krum, Partial) => Some(Box::new(PartialKrum::new(scenario))),
        (AttackKind::Krum, Full) => Some(Box::new(FullKrum::new(scenario))),
    }
}
