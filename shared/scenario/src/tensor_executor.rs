//! Aggregation rules on updates that are the rows of a tensor.

use candle_core::{Device, Storage, Tensor, bail};
use robust::{
    Aggregate, Byzantine, Combination, Executor as _, Local, Measure, Measured, Processors, Rule, RuleError,
    Updates, different,
};

/// Updates that are the rows of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct TensorUpdates<'a> {
    /// What devices sent, `[m, d]`.
    pub values: &'a Tensor,
    /// The number of examples behind each, if that is known.
    pub examples: Option<&'a [f64]>,
    /// The model that they were trained from, d values.
    pub origin: &'a [f32],
    /// What has been measured of them.
    pub measured: Option<&'a Measured>,
}

/// Carries out the plans of rules for updates that are the rows of a tensor, where that is.
pub trait TensorExecutor: Send + Sync {
    /// The aggregate `[d]`, and the rows that have a part in it.
    ///
    /// # Errors
    /// What the rule says against the updates, or the GPU fails with.
    fn aggregate(
        &self,
        rule: &dyn Rule,
        updates: TensorUpdates<'_>,
        byzantine: Byzantine,
    ) -> Result<(Tensor, Vec<usize>), TensorError>;

    /// The aggregates without each of the updates, as in [`TensorExecutor::aggregate`].
    ///
    /// # Errors
    /// As there.
    fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: TensorUpdates<'_>,
        byzantine: Byzantine,
    ) -> Result<LeaveOneOutAggregates, TensorError>;

    /// What combinations of the updates are, `[k, d]`.
    ///
    /// # Errors
    /// If they are of other updates, or the GPU fails.
    fn combine(
        &self,
        combinations: &[Combination],
        updates: TensorUpdates<'_>,
    ) -> Result<Tensor, TensorError>;

    /// What measures the updates.
    fn measure<'a>(&'a self, updates: TensorUpdates<'a>) -> Box<dyn Measure + 'a>;
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
        updates: TensorUpdates<'_>,
        byzantine: Byzantine,
    ) -> Result<(Tensor, Vec<usize>), TensorError> {
        let compute = |updates: &Updates<'_>| Processors.aggregate(rule, updates, byzantine);
        let Aggregate { values, used } = updates.of_rows(compute)?;
        Ok((Tensor::new(values, &Device::Cpu)?, used))
    }

    fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: TensorUpdates<'_>,
        byzantine: Byzantine,
    ) -> Result<LeaveOneOutAggregates, TensorError> {
        let mut aggregates = Vec::new();
        updates.of_rows(|updates| Processors.leave_one_out(rule, updates, byzantine, &mut aggregates))?;
        let (firsts, places) = different(&aggregates);
        let values: Vec<f32> = firsts.iter().flat_map(|&first| &aggregates[first]).copied().collect();
        let shape = (firsts.len(), updates.origin.len());
        Ok(LeaveOneOutAggregates { different: Tensor::from_vec(values, shape, &Device::Cpu)?, places })
    }

    fn combine(
        &self,
        combinations: &[Combination],
        updates: TensorUpdates<'_>,
    ) -> Result<Tensor, TensorError> {
        let vectors = updates.of_rows(|updates| robust::combine(combinations, updates))?;
        let shape = (vectors.len(), updates.origin.len());
        Ok(Tensor::from_vec(vectors.concat(), shape, &Device::Cpu)?)
    }

    fn measure<'a>(&'a self, updates: TensorUpdates<'a>) -> Box<dyn Measure + 'a> {
        Box::new(updates)
    }
}

impl TensorUpdates<'_> {
    /// What `compute` makes of them, where they are in the memory of this machine.
    fn of_rows<T>(
        &self,
        compute: impl FnOnce(&Updates<'_>) -> Result<T, RuleError>,
    ) -> Result<T, TensorError> {
        let values = self.values.contiguous()?;
        let (storage, layout) = values.storage_and_layout();
        let Storage::Cpu(values) = &*storage else {
            let refuse = || bail!("no rule is computed on {:?}", storage.device().location());
            return Ok(refuse()?);
        };
        let (devices, dimension) = layout.shape().dims2()?;
        let values = &values.as_slice::<f32>()?[layout.start_offset()..][..devices * dimension];
        let rows: Vec<&[f32]> = values.chunks_exact(dimension).collect();
        let updates = Updates::new(&rows, self.examples)?.from_origin(self.origin)?;
        let updates = self.measured.map_or(updates, |measured| updates.knowing(measured));
        Ok(compute(&updates)?)
    }
}

impl Local for TensorUpdates<'_> {
    fn updates<T>(&self, compute: impl FnOnce(&Updates<'_>) -> Result<T, RuleError>) -> Result<T, RuleError> {
        Ok(self.of_rows(compute)?)
    }

    fn origin(&self) -> Option<&[f32]> {
        Some(self.origin)
    }

    fn dimension(&self) -> usize {
        self.origin.len()
    }
}
