//! The aggregation rule, of updates that are the rows of a tensor.

#[cfg(feature = "cuda-training")]
mod resident;

use candle_core::{CpuStorage, Device, Layout, Storage, Tensor, bail};
use shared::models::ModelError;
use shared::rules::{Distances, Rule, RuleError, Updates, different};
use shared::scenario::Scenario;

use super::Place;

/// Why there is no aggregate.
#[derive(Debug, thiserror::Error)]
pub(super) enum RulesError {
    /// The rule refuses the updates, or the GPU fails.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Candle or the GPU fails.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// Aggregates cannot be evaluated.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl RulesError {
    /// What the rule says against the updates, if it is that.
    ///
    /// # Errors
    /// Itself, if it is something else.
    pub(super) fn refusal(self) -> Result<RuleError, Self> {
        match self {
            RulesError::Rule(error) if !matches!(error, RuleError::Backend(_)) => Ok(error),
            other => Err(other),
        }
    }
}

/// Aggregates without each of m updates.
pub(super) struct WithoutEach {
    /// `[k, d]`: no aggregate need be there more than once.
    pub(super) different: Tensor,
    /// For each update which of them is the one without it.
    pub(super) places: Vec<usize>,
}

/// The rule of a run, computed where the updates are.
pub(super) struct Rules {
    here: Box<dyn Rule>,
    /// The same on a GPU, if updates are there.
    #[cfg(feature = "cuda-training")]
    there: Option<aggregator_node::cuda::ResidentRule>,
}

impl Rules {
    /// The rule of `scenario`, for updates in `place`.
    pub(super) fn new(
        scenario: &Scenario,
        #[cfg_attr(not(feature = "cuda-training"), expect(unused_variables, reason = "it is no GPU"))]
        place: &Place,
    ) -> Self {
        Rules {
            here: scenario.rule(),
            #[cfg(feature = "cuda-training")]
            there: place
                .gpu
                .as_ref()
                .map(|gpu| gpu.resident_rule(scenario.aggregation.rule, &scenario.rule_parameters())),
        }
    }

    /// The aggregate, `[d]`, of `updates`, `[m, d]`, and the number of examples behind each, if they are weighted.
    pub(super) fn aggregate(&self, updates: &Tensor, weights: Option<&[f64]>) -> Result<Tensor, RulesError> {
        let updates = updates.contiguous()?;
        let (storage, layout) = updates.storage_and_layout();
        match &*storage {
            Storage::Cpu(values) => {
                let aggregate =
                    on_processors(values, layout, weights, |updates| self.here.aggregate(updates))?;
                let dimension = aggregate.len();
                Ok(Tensor::from_vec(aggregate, dimension, &Device::Cpu)?)
            }
            #[cfg(feature = "cuda-training")]
            Storage::Cuda(values) => resident::aggregate(self.there.as_ref(), values, layout, weights),
            other => nowhere(other),
        }
    }

    /// The aggregates without each of `updates`, as in [`Rules::aggregate`].
    pub(super) fn leave_one_out(
        &self,
        updates: &Tensor,
        weights: Option<&[f64]>,
    ) -> Result<WithoutEach, RulesError> {
        let updates = updates.contiguous()?;
        let (storage, layout) = updates.storage_and_layout();
        match &*storage {
            Storage::Cpu(values) => {
                let mut aggregates = Vec::new();
                on_processors(values, layout, weights, |updates| {
                    self.here.leave_one_out(updates, &mut aggregates)
                })?;
                let (firsts, places) = different(&aggregates);
                let values: Vec<f32> = firsts.iter().flat_map(|&first| &aggregates[first]).copied().collect();
                let shape = (firsts.len(), layout.shape().dims2()?.1);
                Ok(WithoutEach { different: Tensor::from_vec(values, shape, &Device::Cpu)?, places })
            }
            #[cfg(feature = "cuda-training")]
            Storage::Cuda(values) => resident::leave_one_out(self.there.as_ref(), values, layout, weights),
            other => nowhere(other),
        }
    }

    /// The distances between all pairs of `models`, `[m, d]`, whatever the rule.
    #[cfg_attr(
        not(feature = "cuda-training"),
        expect(clippy::unused_self, reason = "a GPU's rule knows them")
    )]
    pub(super) fn distances(&self, models: &Tensor) -> Result<Distances, RulesError> {
        let models = models.contiguous()?;
        let (storage, layout) = models.storage_and_layout();
        match &*storage {
            Storage::Cpu(values) => on_processors(values, layout, None, |models| Ok(Distances::of(models))),
            #[cfg(feature = "cuda-training")]
            Storage::Cuda(values) => resident::distances(self.there.as_ref(), values, layout),
            other => nowhere(other),
        }
    }
}

/// Computes something of the rows of a matrix that is here.
fn on_processors<T>(
    values: &CpuStorage,
    layout: &Layout,
    weights: Option<&[f64]>,
    compute: impl FnOnce(&Updates<'_>) -> Result<T, RuleError>,
) -> Result<T, RulesError> {
    let (devices, dimension) = layout.shape().dims2()?;
    let values = &values.as_slice::<f32>()?[layout.start_offset()..][..devices * dimension];
    let rows: Vec<&[f32]> = values.chunks_exact(dimension).collect();
    Ok(compute(&Updates::new(&rows, weights)?)?)
}

fn nowhere<T>(storage: &Storage) -> Result<T, RulesError> {
    let refuse = || bail!("no rule is computed on {:?}", storage.device().location());
    Ok(refuse()?)
}
