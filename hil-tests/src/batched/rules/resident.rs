//! The rule of updates that lie on a GPU.

use aggregator_node::cuda::{self, ResidentRule, ResidentUpdates};
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
    let (updates, dimension) = (updates(values, layout, weights)?, layout.shape().dims2()?.1);
    let aggregate = known(rule)?.aggregate(&updates)?;
    let aggregate = CudaStorage::wrap_cuda_slice(aggregate, values.device.clone());
    Ok(Tensor::from_storage(Storage::Cuda(aggregate), dimension, BackpropOp::none(), false))
}

pub(super) fn leave_one_out(
    rule: Option<&ResidentRule>,
    values: &CudaStorage,
    layout: &Layout,
    weights: Option<&[f64]>,
) -> Result<WithoutEach, RulesError> {
    let (updates, dimension) = (updates(values, layout, weights)?, layout.shape().dims2()?.1);
    let cuda::WithoutEach { different, places } = known(rule)?.leave_one_out(&updates)?;
    let shape = (different.len() / dimension, dimension);
    let different = CudaStorage::wrap_cuda_slice(different, values.device.clone());
    let different = Tensor::from_storage(Storage::Cuda(different), shape, BackpropOp::none(), false);
    Ok(WithoutEach { different, places })
}

pub(super) fn distances(
    rule: Option<&ResidentRule>,
    values: &CudaStorage,
    layout: &Layout,
) -> Result<Distances, RulesError> {
    Ok(known(rule)?.distances(&updates(values, layout, None)?)?)
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
