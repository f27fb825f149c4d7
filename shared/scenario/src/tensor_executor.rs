//! Aggregation rules on updates that are the rows of a tensor.

use candle_core::{Device, Storage, Tensor, bail};
use robust::{
    Aggregate, Byzantine, Distances, Executor as _, Processors, Rule, RuleError, Updates, different,
};

/// Carries out the plans of rules for updates that are the rows of a tensor, where that is.
pub trait TensorExecutor: Send + Sync {
    /// The aggregate `[d]` of `updates`, `[m, d]`, and the rows that have a part in it; `examples` are behind each update, if
    /// their number is known.
    ///
    /// # Errors
    /// What the rule says against the updates, or the GPU fails with.
    fn aggregate(
        &self,
        rule: &dyn Rule,
        updates: &Tensor,
        examples: Option<&[f64]>,
        byzantine: Byzantine,
    ) -> Result<(Tensor, Vec<usize>), TensorError>;

    /// The aggregates without each of `updates`, as in [`TensorExecutor::aggregate`].
    ///
    /// # Errors
    /// As there.
    fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: &Tensor,
        examples: Option<&[f64]>,
        byzantine: Byzantine,
    ) -> Result<LeaveOneOutAggregates, TensorError>;

    /// The distances between all pairs of `updates`, `[m, d]`.
    ///
    /// # Errors
    /// If the GPU fails.
    fn distances(&self, updates: &Tensor) -> Result<Distances, TensorError>;
}

/// Aggregates without each of m updates.
pub struct LeaveOneOutAggregates {
    /// `[k, d]`: no aggregate need be there more than once.
    pub different: Tensor,
    /// For each update which of them is the one without it.
    pub places: Vec<usize>,
}

/// Why there is no aggregate.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// The rule refuses the updates, or the GPU fails.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Candle or the GPU fails.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl From<TensorError> for RuleError {
    fn from(error: TensorError) -> Self {
        match error {
            TensorError::Rule(error) => error,
            TensorError::Tensor(error) => RuleError::Backend(error.to_string()),
        }
    }
}

/// For tensors in the memory of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnProcessors;

impl TensorExecutor for OnProcessors {
    fn aggregate(
        &self,
        rule: &dyn Rule,
        updates: &Tensor,
        examples: Option<&[f64]>,
        byzantine: Byzantine,
    ) -> Result<(Tensor, Vec<usize>), TensorError> {
        let compute = |updates: &Updates<'_>| Processors.aggregate(rule, updates, byzantine);
        let Aggregate { values, used } = of_rows(updates, examples, compute)?;
        Ok((Tensor::new(values, &Device::Cpu)?, used))
    }

    fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: &Tensor,
        examples: Option<&[f64]>,
        byzantine: Byzantine,
    ) -> Result<LeaveOneOutAggregates, TensorError> {
        let mut aggregates = Vec::new();
        of_rows(updates, examples, |updates| {
            Processors.leave_one_out(rule, updates, byzantine, &mut aggregates)
        })?;
        let (firsts, places) = different(&aggregates);
        let values: Vec<f32> = firsts.iter().flat_map(|&first| &aggregates[first]).copied().collect();
        let shape = (firsts.len(), updates.dim(1)?);
        Ok(LeaveOneOutAggregates { different: Tensor::from_vec(values, shape, &Device::Cpu)?, places })
    }

    fn distances(&self, updates: &Tensor) -> Result<Distances, TensorError> {
        of_rows(updates, None, |updates| Ok(Distances::of(updates)))
    }
}

/// What `compute` makes of the rows of `updates`, `[m, d]`.
fn of_rows<T>(
    updates: &Tensor,
    examples: Option<&[f64]>,
    compute: impl FnOnce(&Updates<'_>) -> Result<T, RuleError>,
) -> Result<T, TensorError> {
    let updates = updates.contiguous()?;
    let (storage, layout) = updates.storage_and_layout();
    let Storage::Cpu(values) = &*storage else {
        let refuse = || bail!("no rule is computed on {:?}", storage.device().location());
        return Ok(refuse()?);
    };
    let (devices, dimension) = layout.shape().dims2()?;
    let values = &values.as_slice::<f32>()?[layout.start_offset()..][..devices * dimension];
    let rows: Vec<&[f32]> = values.chunks_exact(dimension).collect();
    Ok(compute(&Updates::new(&rows, examples)?)?)
}
