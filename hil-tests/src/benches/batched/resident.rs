//! Rules on updates that lie on a GPU.

use aggregator_node::cuda::{self, ResidentEngine, ResidentUpdates};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Layout, Storage, Tensor, bail};
use robust::{Byzantine, Distances, Rule};
use scenario::tensor_executor::{LeaveOneOutAggregates, TensorError, TensorExecutor};

/// For tensors in the memory of a GPU.
pub(super) struct OnGpu(pub(super) ResidentEngine);

impl TensorExecutor for OnGpu {
    fn aggregate(
        &self,
        rule: &dyn Rule,
        updates: &Tensor,
        examples: Option<&[f64]>,
        byzantine: Byzantine,
    ) -> Result<(Tensor, Vec<usize>), TensorError> {
        on_gpu(updates, |values, layout| {
            let updates = rows(values, layout, examples)?;
            let (aggregate, used) = self.0.aggregate(rule, &updates, byzantine)?;
            Ok((vectors(aggregate, values, layout)?.squeeze(0)?, used))
        })
    }

    fn leave_one_out(
        &self,
        rule: &dyn Rule,
        updates: &Tensor,
        examples: Option<&[f64]>,
        byzantine: Byzantine,
    ) -> Result<LeaveOneOutAggregates, TensorError> {
        on_gpu(updates, |values, layout| {
            let updates = rows(values, layout, examples)?;
            let cuda::LeaveOneOutAggregates { different, places } =
                self.0.leave_one_out(rule, &updates, byzantine)?;
            Ok(LeaveOneOutAggregates { different: vectors(different, values, layout)?, places })
        })
    }

    fn distances(&self, updates: &Tensor) -> Result<Distances, TensorError> {
        on_gpu(updates, |values, layout| Ok(self.0.distances(&rows(values, layout, None)?)?))
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
    examples: Option<&[f64]>,
) -> Result<ResidentUpdates<'a>, TensorError> {
    let (devices, dimension) = layout.shape().dims2()?;
    let start = layout.start_offset();
    let values = values.as_cuda_slice::<f32>()?.slice(start..start + devices * dimension);
    Ok(ResidentUpdates::new(values, devices, examples)?)
}
