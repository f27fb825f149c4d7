//! A model as one flat `f32` vector with a named layout.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Names and shapes of a model's tensors, in the order in which the flat vector holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<Entry>,
    dimension: usize,
}

/// One named tensor of a [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name, as in safetensors files: `conv1.weight`.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Index of its first element in the flat vector.
    pub offset: usize,
}

impl Entry {
    /// Number of elements; the largest there is, where that is not countable, as of no model that is built.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1, |product: usize, &side| product.saturating_mul(side))
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where its elements are in the flat vector.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset.saturating_add(self.len())
    }
}

impl Layout {
    /// Lays the named tensors out one after the other.
    pub fn new<N: Into<String>>(tensors: impl IntoIterator<Item = (N, Vec<usize>)>) -> Self {
        let mut dimension: usize = 0;
        let entries = tensors
            .into_iter()
            .map(|(name, shape)| {
                let entry = Entry { name: name.into(), shape, offset: dimension };
                dimension = dimension.saturating_add(entry.len());
                entry
            })
            .collect();
        Layout { entries, dimension }
    }

    /// The tensors in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of parameters (the paper's d).
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Checks that a flat vector can be one of this layout.
    ///
    /// # Errors
    /// [`ParametersError::Dimension`] if it has another length.
    pub fn check(&self, values: &[f32]) -> Result<(), ParametersError> {
        if values.len() == self.dimension {
            Ok(())
        } else {
            Err(ParametersError::Dimension { expected: self.dimension, actual: values.len() })
        }
    }
}

/// What is wrong with stored or received parameters.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// Wrong number of values.
    #[error("{actual} parameters where the model has {expected}")]
    Dimension {
        /// Number the layout asks for.
        expected: usize,
        /// Number that is there.
        actual: usize,
    },
    /// A safetensors file that cannot be read.
    #[error("not a valid safetensors checkpoint: {0}")]
    Checkpoint(#[from] safetensors::SafeTensorError),
    /// A safetensors file of another model.
    #[error("the checkpoint's tensor `{name}` is not the {expected:?} f32 tensor of this model")]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// Expected shape.
        expected: Vec<usize>,
    },
    /// A tensor of a file that has another shape than that of the model.
    #[error(
        "the tensor `{name}` of the file has shape {file:?}, that of the model {model:?}; give a file of this model, or list the \
         tensor under `anew`"
    )]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its shape in the file.
        file: Vec<usize>,
        /// Its shape in the model.
        model: Vec<usize>,
    },
    /// A tensor of a file that holds other numbers than floats of 32 or 64 bits.
    #[error("the tensor `{name}` of the file holds {dtype}; convert it to F32")]
    Type {
        /// Name of the tensor.
        name: String,
        /// What it holds.
        dtype: String,
    },
    /// A tensor of a file that holds NaN or infinity.
    #[error("the tensor `{name}` of the file holds a value that is not finite, its {place}th from 0")]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// Where.
        place: usize,
    },
    /// A file without any tensor of the model.
    #[error("the file has none of the model's tensors, {}, but {}; rename them", listed(model), listed(file))]
    NoneOfModel {
        /// The tensors of the model.
        model: Vec<String>,
        /// Those of the file.
        file: Vec<String>,
    },
    /// A safetensors file of a larger model.
    #[error("the checkpoint has a tensor `{name}` that this model lacks; is it one of another model?")]
    Surplus {
        /// Name of the tensor.
        name: String,
    },
}

/// Some of these names, for people.
fn listed(names: &[String]) -> String {
    const MOST: usize = 8;
    let first = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "nothing".to_owned(),
        count if count > MOST => format!("{first} and {} more", count - MOST),
        _ => first,
    }
}

/// A model's parameters: a flat vector and the layout that names its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    layout: Arc<Layout>,
    values: Vec<f32>,
}

impl Parameters {
    /// Joins a layout and its values.
    ///
    /// # Errors
    /// [`ParametersError::Dimension`] if the number of values is not the layout's.
    pub fn new(layout: Arc<Layout>, values: Vec<f32>) -> Result<Self, ParametersError> {
        layout.check(&values)?;
        Ok(Parameters { layout, values })
    }

    /// All zeros.
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let values = vec![0.0; layout.dimension()];
        Parameters { layout, values }
    }

    /// Names and shapes.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The flat vector.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The flat vector, to change in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The flat vector alone.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The values as little-endian bytes, which is what digests of a model are taken over.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        le_bytes(&self.values)
    }

    /// Writes a safetensors file with one f32 tensor for each entry, and beside them `metadata` and `others`: vectors by
    /// names that are no entry's.
    ///
    /// With more than one entry of metadata their order in the file varies, so that equal models may give
    /// unequal files: compare [`Parameters::to_le_bytes`] instead.
    ///
    /// # Errors
    /// [`ParametersError::Checkpoint`] if safetensors refuses the header (more than 100 MB of metadata).
    pub fn to_safetensors<'a>(
        &self,
        metadata: HashMap<String, String>,
        others: impl IntoIterator<Item = (String, &'a [f32])>,
    ) -> Result<Vec<u8>, ParametersError> {
        let bytes = self.to_le_bytes();
        let others: Vec<(String, usize, Vec<u8>)> =
            others.into_iter().map(|(name, values)| (name, values.len(), le_bytes(values))).collect();
        let views = self
            .layout
            .entries()
            .iter()
            .map(|e| {
                let range = e.range();
                let part = &bytes[4 * range.start..4 * range.end];
                Ok((e.name.as_str(), TensorView::new(Dtype::F32, e.shape.clone(), part)?))
            })
            .chain(others.iter().map(|(name, length, bytes)| {
                Ok((name.as_str(), TensorView::new(Dtype::F32, vec![*length], bytes)?))
            }))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads what [`Parameters::to_safetensors`] wrote: the parameters and the metadata. The other vectors are given to
    /// `take`, which says whether they belong there.
    ///
    /// # Errors
    /// If the bytes are no safetensors file, or its tensors are not those of `layout` and such others.
    pub fn from_safetensors(
        layout: Arc<Layout>,
        bytes: &[u8],
        mut take: impl FnMut(&str, Vec<f32>) -> bool,
    ) -> Result<(Self, HashMap<String, String>), ParametersError> {
        let metadata = Self::metadata(bytes)?;
        let file = SafeTensors::deserialize(bytes)?;
        for (name, view) in file.tensors() {
            let is_other = layout.entries().iter().all(|e| e.name != name);
            if is_other && !(view.dtype() == Dtype::F32 && take(&name, from_le_bytes(view.data()).collect()))
            {
                return Err(ParametersError::Surplus { name });
            }
        }
        let mut values = Vec::with_capacity(layout.dimension());
        for entry in layout.entries() {
            let view = file.tensor(&entry.name).ok();
            let view =
                view.filter(|v| v.dtype() == Dtype::F32 && v.shape() == entry.shape).ok_or_else(|| {
                    ParametersError::Tensor { name: entry.name.clone(), expected: entry.shape.clone() }
                })?;
            values.extend(from_le_bytes(view.data()));
        }
        Ok((Parameters { layout, values }, metadata))
    }

    /// The metadata of a file that [`Parameters::to_safetensors`] wrote.
    ///
    /// # Errors
    /// If the bytes are no safetensors file.
    pub fn metadata(bytes: &[u8]) -> Result<HashMap<String, String>, ParametersError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        Ok(header.metadata().clone().unwrap_or_default())
    }
}

/// Values as little-endian bytes.
pub fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The values of little-endian `bytes`.
pub fn from_le_bytes(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}

/// Where the first of `values` is that is NaN or infinite.
pub fn first_not_finite(values: &[f32]) -> Option<usize> {
    // Looked at to the end and without a branch, which is faster where all are finite.
    let finite = values.iter().fold(true, |finite, value| finite & value.is_finite());
    if finite { None } else { values.iter().position(|value| !value.is_finite()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Parameters {
        let layout = Layout::new([("weight", vec![2, 3]), ("bias", vec![2])]);
        Parameters::new(Arc::new(layout), (0..8u8).map(f32::from).collect()).unwrap()
    }

    #[test]
    fn safetensors_round_trip_keeps_values_and_metadata() {
        let metadata = HashMap::from([("round".to_owned(), "7".to_owned())]);
        let bytes = example().to_safetensors(metadata.clone(), []).unwrap();
        let (read, header) =
            Parameters::from_safetensors(example().layout().clone(), &bytes, |_, _| false).unwrap();
        assert_eq!((read, header), (example(), metadata));
    }

    #[test]
    fn a_checkpoint_of_another_model_is_named() {
        let bytes = example().to_safetensors(HashMap::new(), []).unwrap();
        let other = Arc::new(Layout::new([("weight", vec![3, 2]), ("bias", vec![2])]));
        let error = Parameters::from_safetensors(other, &bytes, |_, _| false).unwrap_err();
        assert!(error.to_string().contains("`weight`"), "{error}");
        assert!(
            Parameters::from_safetensors(example().layout().clone(), &bytes[..40], |_, _| false).is_err()
        );
    }

    #[test]
    fn a_checkpoint_with_tensors_beyond_the_model_is_refused() {
        let bytes = example().to_safetensors(HashMap::new(), []).unwrap();
        let part = Arc::new(Layout::new([("weight", vec![2, 3])]));
        let error = Parameters::from_safetensors(part, &bytes, |_, _| false).unwrap_err();
        assert!(matches!(&error, ParametersError::Surplus { name } if name == "bias"), "{error}");
    }

    #[test]
    fn ranges_follow_each_other_through_the_flat_vector() {
        let layout = example().layout().clone();
        assert_eq!(layout.entries().iter().map(Entry::range).collect::<Vec<_>>(), [0..6, 6..8]);
    }

    #[test]
    fn a_vector_of_another_length_is_refused() {
        assert!(Parameters::new(example().layout().clone(), vec![0.0; 7]).is_err());
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_found() {
        let values = [f32::MAX, -0.0, f32::MIN_POSITIVE / 2.0];
        assert_eq!(first_not_finite(&values), None);
        for unusable in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(first_not_finite(&[1.0, unusable, unusable]), Some(1));
        }
    }
}
