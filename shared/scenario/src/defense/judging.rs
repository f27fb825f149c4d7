//! What the stages of the paper (ERR, LFR, Union) have in common.

use std::collections::BTreeSet;
use std::fmt::Debug;

use input::unfit::{Unfit, at_least_one};
use learning::random::{Purpose, stream};
use rand::RngCore;
use robust::{Byzantine, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::identity::DeviceId;

use super::{DefenseError, Gate, LeaveOneOut, Passed, Stage, TieBreaker};

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

/// A stage that goes by what the aggregate does without each update.
pub(super) trait ByLeavingOut: Debug + Send + Sync {
    /// How many criteria it removes by.
    const CRITERIA: usize = 1;

    /// Its settings.
    fn judging(&self) -> &Judging;

    /// The same, to be resolved.
    fn judging_mut(&mut self) -> &mut Judging;

    /// The rows that it removes by the evidence, `count` by each criterion.
    fn most_harmful(evidence: &LeaveOneOut, count: usize) -> BTreeSet<usize>;
}

impl<S: ByLeavingOut> Stage for S {
    fn resolve(&mut self, byzantine: usize) {
        self.judging_mut().remove.get_or_insert(byzantine as u32);
    }

    fn check(&self) -> Result<(), Unfit> {
        at_least_one("defense.validation-examples", self.judging().validation_examples)
    }

    fn validation_examples(&self) -> usize {
        let judging = self.judging();
        if judging.remove == Some(0) { 0 } else { judging.validation_examples as usize }
    }

    fn leaves(&self, devices: usize, byzantine: Byzantine) -> usize {
        devices.saturating_sub(self.judging().count(byzantine).saturating_mul(S::CRITERIA))
    }

    fn pass(&self, gate: &Gate<'_>, _: &mut State) -> Result<Passed, DefenseError> {
        let count = self.judging().count(gate.updates.byzantine());
        if count == 0 {
            return Ok(Passed::AllBut(BTreeSet::new()));
        }
        let (with_all, without) = (gate.evaluate)()?;
        let tie_breakers = self.judging().tie_breakers(gate);
        Ok(Passed::AllBut(S::most_harmful(&LeaveOneOut { with_all, without, tie_breakers }, count)))
    }
}

impl Judging {
    /// How many updates are removed by each criterion.
    fn count(&self, byzantine: Byzantine) -> usize {
        let count = self.remove.map_or(byzantine.assumed, |count| count as usize);
        count.saturating_sub(byzantine.excluded)
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
