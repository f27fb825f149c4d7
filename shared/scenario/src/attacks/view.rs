//! What an attack that crafts sees of a round.

use candle_core::{DType, Result, Tensor};
use robust::{Byzantine, Rule};
use wire::identity::DeviceId;

use super::{AttackError, Direction, statistics};
use crate::tensor_executor::{TensorExecutor, TensorUpdates};

/// What the attacker sees of a round.
pub struct View<'a> {
    /// Which round it is.
    pub round: u32,
    /// How many devices take part in it, whether their models are known or not.
    pub selected: usize,
    /// Whose the models are, row by row.
    pub devices: &'a [DeviceId],
    /// The global model that the round started from (the paper's g), `[d]`.
    pub global: &'a Tensor,
    /// Its values, in the memory of this machine.
    pub global_values: &'a [f32],
    /// What devices would honestly send, `[m, d]`, in ascending order of device: of compromised devices what they
    /// trained, of benign ones what they sent. The latter are there only if the attack
    /// [needs everyone](super::Needs::Everyone).
    pub models: &'a Tensor,
    /// The rows of the compromised devices, at least one.
    pub colluders: &'a [u32],
    /// The rows of the others.
    pub benign: &'a [u32],
    /// What was drawn for the compromised devices, `[c, d]`.
    pub drawn: &'a Tensor,
    /// The rule under attack.
    pub rule: &'a dyn Rule,
    /// How many Byzantine devices the aggregator assumes.
    pub byzantine: usize,
    /// What evaluates rules where the models are.
    pub executor: &'a dyn TensorExecutor,
}

impl View<'_> {
    /// Some of the models, `[k, d]`.
    ///
    /// # Errors
    /// If candle or the GPU fails, as all of these functions do.
    pub fn rows(&self, rows: &[u32]) -> Result<Tensor> {
        self.models.index_select(&Tensor::new(rows, self.models.device())?, 0)
    }

    /// The global model in 64 bits, `[1, d]`.
    ///
    /// # Errors
    /// As [`View::rows`].
    pub fn origin(&self) -> Result<Tensor> {
        self.global.to_dtype(DType::F64)?.unsqueeze(0)
    }

    /// What was drawn, `[c, d]`, in 64 bits.
    ///
    /// # Errors
    /// As [`View::rows`].
    pub fn draws(&self) -> Result<Tensor> {
        self.drawn.to_dtype(DType::F64)
    }

    /// Everyone's rows.
    pub fn everyone(&self) -> Vec<u32> {
        let mut rows = [self.colluders, self.benign].concat();
        rows.sort_unstable();
        rows
    }

    /// The aggregate `[d]` of `models`, `[k, d]`, by the rule under attack.
    ///
    /// # Errors
    /// What the rule says against the models, and as [`View::rows`].
    pub fn aggregate(&self, models: &Tensor) -> std::result::Result<Tensor, AttackError> {
        let byzantine = Byzantine::of(self.byzantine);
        Ok(self.executor.aggregate(self.rule, self.updates(models), byzantine)?.0)
    }

    /// `models`, `[k, d]`, as updates of the round.
    pub fn updates<'b>(&'b self, models: &'b Tensor) -> TensorUpdates<'b> {
        TensorUpdates { values: models, examples: None, origin: self.global_values, measured: None }
    }

    /// What the global model would be without attack, `[1, d]`, in 64 bits.
    ///
    /// # Errors
    /// As [`View::aggregate`].
    pub fn without_attack(&self, direction: Direction) -> std::result::Result<Tensor, AttackError> {
        Ok(match direction {
            Direction::Mean => statistics::mean(self.models, &self.everyone())?,
            Direction::Rule => self.aggregate(self.models)?.to_dtype(DType::F64)?.unsqueeze(0)?,
        })
    }
}
