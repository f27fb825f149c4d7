//! The rule of updates that lie on a GPU.

use aggregator_node::cuda::{self, ResidentRule, ResidentUpdates};
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Layout, Storage, Tensor};
use shared::rules::{Distances, RuleError};

use super::{RulesError, WithoutEach};

pub(super) fn aggregate(
    rule: Option<&ResidentRule>,
    values: &CudaStorage,
    layout: &Layout,
    weights: Option<&[f64]>,
) -> Result<Tensor, RulesError> {
    let aggregate = known(rule)?.aggregate(&updates(values, layout, weights)?)?;
    Ok(vectors(aggregate, values, layout)?.squeeze(0)?)
}

pub(super) fn leave_one_out(
    rule: Option<&ResidentRule>,
    values: &CudaStorage,
    layout: &Layout,
    weights: Option<&[f64]>,
) -> Result<WithoutEach, RulesError> {
    let cuda::WithoutEach { different, places } =
        known(rule)?.leave_one_out(&updates(values, layout, weights)?)?;
    Ok(WithoutEach { different: vectors(different, values, layout)?, places })
}

pub(super) fn distances(
    rule: Option<&ResidentRule>,
    values: &CudaStorage,
    layout: &Layout,
) -> Result<Distances, RulesError> {
    Ok(known(rule)?.distances(&updates(values, layout, None)?)?)
}

/// Vectors as long as the rows of a matrix, where that is, as a matrix of their own.
fn vectors(vectors: CudaSlice<f32>, matrix: &CudaStorage, layout: &Layout) -> Result<Tensor, RulesError> {
    let dimension = layout.shape().dims2()?.1;
    let shape = (vectors.len() / dimension, dimension);
    let vectors = CudaStorage::wrap_cuda_slice(vectors, matrix.device.clone());
    Ok(Tensor::from_storage(Storage::Cuda(vectors), shape, BackpropOp::none(), false))
}

/// The rows of a matrix that is there.
fn updates<'a>(
    values: &'a CudaStorage,
    layout: &Layout,
    weights: Option<&[f64]>,
) -> Result<ResidentUpdates<'a>, RulesError> {
    let (devices, dimension) = layout.shape().dims2()?;
    let start = layout.start_offset();
    let values = values.as_cuda_slice::<f32>()?.slice(start..start + devices * dimension);
    Ok(ResidentUpdates::new(values, devices, weights)?)
}

fn known(rule: Option<&ResidentRule>) -> Result<&ResidentRule, RuleError> {
    rule.ok_or_else(|| RuleError::Backend("updates are on a GPU that the run does not use".to_owned()))
}
