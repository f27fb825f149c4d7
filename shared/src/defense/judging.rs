//! What the stages of the paper have in common.

use std::collections::BTreeSet;

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DefenseError, Gate, LeaveOneOut, TieBreaker};
use crate::identity::DeviceId;
use crate::random::{Purpose, stream};
use crate::rules::Byzantine;
use crate::unfit::{Unfit, at_least_one};

/// How updates are judged by what the aggregate does with and without them, and how many are removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct Judging {
    /// Test examples, drawn once for the run, that updates are judged by.
    pub validation_examples: u32,
    /// How many updates are removed by each criterion in a round (the paper's c); `aggregation.byzantine` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<u32>,
    /// Which of equally harmful updates are removed first.
    pub ties: Ties,
}

/// Which of equally harmful updates are removed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ties {
    /// Those that a draw for each device and round puts first.
    #[default]
    Drawn,
    /// Those of compromised devices: the most that the defense can achieve. For research: no aggregator can know them.
    Compromised,
    /// Those of benign devices: the least that it achieves.
    Benign,
}

impl Default for Judging {
    fn default() -> Self {
        Judging { validation_examples: 100, remove: None, ties: Ties::default() }
    }
}

impl Judging {
    pub(super) fn resolve(&mut self, byzantine: usize) {
        self.remove.get_or_insert(byzantine as u32);
    }

    pub(super) fn check(&self) -> Result<(), Unfit> {
        at_least_one("defense.validation-examples", self.validation_examples)
    }

    pub(super) fn validation_examples(&self) -> usize {
        if self.remove == Some(0) { 0 } else { self.validation_examples as usize }
    }

    /// How many updates are removed by each criterion.
    pub(super) fn count(&self, byzantine: Byzantine) -> usize {
        let count = self.remove.map_or(byzantine.assumed, |count| count as usize);
        count.saturating_sub(byzantine.excluded)
    }

    /// What `choose` removes by the evidence, of as many as are to be removed by each criterion.
    pub(super) fn remove(
        &self,
        gate: &Gate<'_>,
        choose: impl FnOnce(&LeaveOneOut, usize) -> BTreeSet<usize>,
    ) -> Result<BTreeSet<usize>, DefenseError> {
        let count = self.count(gate.updates.byzantine());
        if count == 0 {
            return Ok(BTreeSet::new());
        }
        let (with_all, without) = (gate.evaluate)(self.validation_examples())?;
        let tie_breakers = self.tie_breakers(gate);
        Ok(choose(&LeaveOneOut { with_all, without, tie_breakers }, count))
    }

    /// In which order equally harmful updates are removed.
    ///
    /// Ties are broken by a draw for each device and round, so that the outcome hangs neither on the order of the
    /// rows nor, over the rounds, on the device; with [`Ties`] that favour a side, its devices come last.
    fn tie_breakers(&self, gate: &Gate<'_>) -> Vec<TieBreaker> {
        let tie_breaker = |&device: &DeviceId| {
            let random = &mut stream(gate.seed, Purpose::Validation, Some(device), gate.round);
            (self.favours(device, gate), random.next_u64())
        };
        gate.devices.iter().map(tie_breaker).collect()
    }

    /// Whether a device is of the side that is not hit first.
    fn favours(&self, device: DeviceId, gate: &Gate<'_>) -> bool {
        match self.ties {
            Ties::Drawn => false,
            Ties::Compromised => !gate.attackers.contains(&device),
            Ties::Benign => gate.attackers.contains(&device),
        }
    }
}
