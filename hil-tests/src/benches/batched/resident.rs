//! Rules on updates that lie on a GPU.

use aggregator_node::cuda::{self, ResidentEngine, ResidentUpdates};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Layout, Storage, Tensor, bail};
use robust::{Byzantine, Combination, Distances, Gram, Measure, Rule, RuleError};
use scenario::tensor_executor::{LeaveOneOutAggregates, TensorError, TensorExecutor, TensorUpdates};

/// For tensors in the memory of a GPU.
pub(super) struct OnGpu(pub(super) ResidentEngine);

impl TensorExecutor for OnGpu {
    fn aggregate(
        &self,
        rule: &dyn Rule,
        updates: TensorUpdates<'_>,
        byzantine: Byzantine,
    ) -> Result<(Tensor, Vec<usize>), TensorError> {
        on_gpu(updates.values, |values, layout| {
            let updates = rows(values, layout, &updates)?;
            let (aggregate, used) = self.0.aggregate(rule, &updates, byzantine)?;
            Ok((vectors(aggregate, values, layout)?.squeeze(0)?, used))
        })
    }

    fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: TensorUpdates<'_>,
        byzantine: Byzantine,
    ) -> Result<LeaveOneOutAggregates, TensorError> {
        on_gpu(updates.values, |values, layout| {
            let updates = rows(values, layout, &updates)?;
            let cuda::LeaveOneOutAggregates { different, places } =
                self.0.leave_one_out(rule, &updates, byzantine)?;
            Ok(LeaveOneOutAggregates { different: vectors(different, values, layout)?, places })
        })
    }

    fn combine(
        &self,
        combinations: &[Combination],
        updates: TensorUpdates<'_>,
    ) -> Result<Tensor, TensorError> {
        on_gpu(updates.values, |values, layout| {
            let combined = self.0.combine(combinations, &rows(values, layout, &updates)?)?;
            vectors(combined, values, layout)
        })
    }

    fn measure<'a>(&'a self, updates: TensorUpdates<'a>) -> Box<dyn Measure + 'a> {
        Box::new(Measured { engine: &self.0, updates })
    }
}

/// Updates in the memory of a GPU, to be measured.
struct Measured<'a> {
    engine: &'a ResidentEngine,
    updates: TensorUpdates<'a>,
}

impl Measured<'_> {
    fn with<T>(&self, compute: impl FnOnce(&dyn Measure) -> Result<T, RuleError>) -> Result<T, RuleError> {
        let measured = on_gpu(self.updates.values, |values, layout| {
            Ok(self.engine.measure(&rows(values, layout, &self.updates)?, compute)?)
        });
        Ok(measured?)
    }
}

impl Measure for Measured<'_> {
    fn distances(&self) -> Result<Distances, RuleError> {
        self.with(|updates| updates.distances())
    }

    fn gram(&self) -> Result<Gram, RuleError> {
        self.with(|updates| updates.gram())
    }

    fn products_with(&self, other: &[f32]) -> Result<Vec<f64>, RuleError> {
        self.with(|updates| updates.products_with(other))
    }

    fn sample(&self, columns: &[usize]) -> Result<Vec<Vec<f32>>, RuleError> {
        self.with(|updates| updates.sample(columns))
    }

    fn offsets(&self) -> Result<Vec<Vec<f32>>, RuleError> {
        self.with(|updates| updates.offsets())
    }

    fn origin(&self) -> Option<&[f32]> {
        Some(self.updates.origin)
    }

    fn dimension(&self) -> usize {
        self.updates.origin.len()
    }
}

/// What `compute` makes of a matrix, where it is.
fn on_gpu<T>(
    matrix: &Tensor,
    compute: impl FnOnce(&CudaStorage, &Layout) -> Result<T, TensorError>,
) -> Result<T, TensorError> {
    let matrix = matrix.contiguous()?;
    let (storage, layout) = matrix.storage_and_layout();
    let Storage::Cuda(values) = &*storage else {
        let refuse = || bail!("the updates are on {:?}, not on the GPU", storage.device().location());
        return Ok(refuse()?);
    };
    compute(values, layout)
}

/// Vectors as long as the rows of a matrix, where that is, as a matrix of their own.
fn vectors(vectors: CudaSlice<f32>, matrix: &CudaStorage, layout: &Layout) -> Result<Tensor, TensorError> {
    let dimension = layout.shape().dims2()?.1;
    let shape = (vectors.len() / dimension, dimension);
    let vectors = CudaStorage::wrap_cuda_slice(vectors, matrix.device.clone());
    Ok(Tensor::from_storage(Storage::Cuda(vectors), shape, BackpropOp::none(), false))
}

/// The rows of a matrix that is there.
fn rows<'a>(
    values: &'a CudaStorage,
    layout: &Layout,
    updates: &TensorUpdates<'a>,
) -> Result<ResidentUpdates<'a>, TensorError> {
    let (devices, dimension) = layout.shape().dims2()?;
    let start = layout.start_offset();
    let values = values.as_cuda_slice::<f32>()?.slice(start..start + devices * dimension);
    let TensorUpdates { examples, origin, measured, .. } = *updates;
    Ok(ResidentUpdates::new(values, devices, examples, origin)?.knowing(measured))
}
