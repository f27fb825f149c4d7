//! The way from candle's tensors to slices and back, for operations of this project's own.

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor, bail};

use super::gemm::Element;

/// The values of an operand of a forward pass, in row-major order.
///
/// # Errors
/// If it is a view in another order, or of another type.
pub(super) fn operand<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("expected a contiguous tensor"),
    }
}

/// What a forward pass returns.
pub(super) fn result<T: Element>(values: Vec<T>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (T::to_cpu_storage_owned(values), shape.into())
}

/// Calls `read` with the values of `tensor` in row-major order.
///
/// # Errors
/// Those of `read`, and if the tensor is of another type.
pub(super) fn with_values<T: Element, R>(tensor: &Tensor, read: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(operand(storage, layout)?),
        _ => bail!("expected a tensor in main memory"),
    }
}

/// A tensor that `values` are moved into.
///
/// # Errors
/// If they are not as many as `shape` says.
pub(super) fn tensor<T: Element>(values: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// `by_type!(dtype, T => expression)` is the expression where `T` is the type of a tensor's values.
macro_rules! by_type {
    ($dtype:expr, $type:ident => $expression:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $type = f32;
                $expression
            }
            candle_core::DType::F64 => {
                type $type = f64;
                $expression
            }
            other => candle_core::bail!("expected floats of 32 or 64 bits, not {other:?}"),
        }
    };
}
pub(super) use by_type;
