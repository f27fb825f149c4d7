//! Files of examples behind a header, with a digest of all.
//!
//! A safetensors file with the tensors `features` (U8 or F32, `[examples, ...shape]`) and `labels` (U8, or U16
//! where there are more than 256 classes, `[examples]`). Its metadata has the one key `shard`, a TOML text: safetensors writes
//! metadata keys in random order, and the same examples must always be the same bytes.
//!
//! The first line of that text is the digest: BLAKE3 of all that follows it in the text, of the features and of the labels, as
//! they stand in the file.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::Deserialize;
use wire::identity::Digest;

use super::dataset::{has_byte_labels, label_bytes};
use super::{DatasetError, Features};
use crate::parameters::from_le_bytes;

/// The format of shards that are dealt out of a data set.
pub(super) const DEALT: &str = "outpost-shard-2";
/// The format of shards of devices' own.
pub(super) const IMPORTED: &str = "outpost-import-1";

const METADATA_KEY: &str = "shard";

/// Why bytes are not a shard file.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// Not a safetensors file.
    #[error("not a valid safetensors file: {0}; write the shard file again")]
    File(#[from] SafeTensorError),
    /// A safetensors file of something else.
    #[error("the safetensors file has no metadata `{METADATA_KEY}`; is it a shard file?")]
    NotAShard,
    /// Metadata that cannot be read.
    #[error("the metadata `{METADATA_KEY}` cannot be read: {0}; write the shard file again")]
    Header(String),
    /// A file of another version.
    #[error(
        "the format is {actual:?}, this version reads `{expected}`; write the shard file again with this version"
    )]
    Format {
        /// The format that stands in it.
        actual: String,
        /// The one that is read.
        expected: &'static str,
    },
    /// A shard that was dealt out, where each device is to bring its own.
    #[error(
        "dealt out of a data set, where the scenario has data that lie on the devices; make a shard of this device's own with \
         `edge-client import`"
    )]
    Dealt,
    /// A shard of a device's own, where shards are dealt out.
    #[error(
        "made by `edge-client import`, where the scenario deals a data set out; bring the shard that was written for this \
         device, or a scenario whose data set is `devices`"
    )]
    Imported,
    /// Bytes that have changed since it was written.
    #[error(
        "damaged: its digest is {actual}, and it was written with {written}; copy or write the shard file again"
    )]
    Damaged {
        /// The digest that stands in it.
        written: String,
        /// The digest of what is in it.
        actual: Digest,
    },
    /// A shard that was made from something else than it should.
    #[error("{0}; make the shards anew from this scenario")]
    Source(String),
    /// A wrong number of classes for the data set.
    #[error("{actual} classes, where {dataset} has {expected}; write the shard file again")]
    Classes {
        /// The data set.
        dataset: String,
        /// Its number of classes.
        expected: usize,
        /// What the file says.
        actual: usize,
    },
    /// A tensor of another type or shape.
    #[error("tensor `{name}` is {dtype:?} {shape:?}; expected {expected}; write the shard file again")]
    Tensor {
        /// Name of the tensor.
        name: &'static str,
        /// Its type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<usize>,
        /// What it should be.
        expected: String,
    },
    /// Labels that are no classes, features that are not finite, or not as many of each.
    #[error("the examples are invalid: {0}; write the shard file again")]
    Dataset(#[from] DatasetError),
}

/// A file that is open.
pub(super) struct Sealed<'a> {
    /// The text behind the digest.
    pub(super) header: String,
    pub(super) features: FeaturesTensor<'a>,
    pub(super) labels: LabelsTensor<'a>,
    pub(super) digest: Digest,
}

/// The tensor `features`.
pub(super) struct FeaturesTensor<'a>(TensorView<'a>);

/// The tensor `labels`.
pub(super) struct LabelsTensor<'a>(TensorView<'a>);

/// The bytes of the file of examples of `shape` with these `features` and `labels`, which are below `classes`, behind `header`.
pub(super) fn write(
    header: &str,
    shape: &[usize],
    features: &Features,
    labels: &[u16],
    classes: usize,
) -> Vec<u8> {
    let dtype = match &features {
        Features::Bytes(_) => Dtype::U8,
        Features::Floats(_) => Dtype::F32,
    };
    let first = digest_line(&digest(header, features, labels, classes));
    let shape = [&[labels.len()], shape].concat();
    let (features, values) = (features.to_le_bytes(), label_bytes(labels, classes));
    let tensors = [
        ("features", TensorView::new(dtype, shape, &features)),
        ("labels", TensorView::new(label_type(classes), vec![labels.len()], &values)),
    ];
    let tensors = tensors.map(|(name, view)| (name, view.expect("as many values as the shape has")));
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), first + header)]);
    safetensors::serialize(tensors, Some(metadata)).expect("two tensors of different names")
}

/// The digest of such a file.
pub(super) fn digest(header: &str, features: &Features, labels: &[u16], classes: usize) -> Digest {
    digest_of([header.as_bytes(), &features.to_le_bytes(), &label_bytes(labels, classes)])
}

/// Reads such a file of `format`, and makes sure that it is as it was written.
///
/// # Errors
/// If it is anything else.
pub(super) fn open<'a>(bytes: &'a [u8], format: &'static str) -> Result<Sealed<'a>, ShardError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
    let text = text.ok_or(ShardError::NotAShard)?;
    check_format(text, format)?;
    let file = SafeTensors::deserialize(bytes)?;
    let (features, labels) = (file.tensor("features")?, file.tensor("labels")?);
    let (first, header) = text.split_at(text.find('\n').map_or(text.len(), |end| end + 1));
    let digest = digest_of([header.as_bytes(), features.data(), labels.data()]);
    if first != digest_line(&digest) {
        let written = first.trim_end().trim_start_matches("blake3 = ").trim_matches('"').to_owned();
        return Err(ShardError::Damaged { written, actual: digest });
    }
    let (features, labels) = (FeaturesTensor(features), LabelsTensor(labels));
    Ok(Sealed { header: header.to_owned(), features, labels, digest })
}

/// What stands in the text of a header.
///
/// # Errors
/// [`ShardError::Header`].
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ShardError> {
    toml::from_str(text).map_err(|error| ShardError::Header(error.message().to_owned()))
}

impl FeaturesTensor<'_> {
    /// The shape of an example.
    pub(super) fn shape(&self) -> &[usize] {
        self.0.shape().get(1..).unwrap_or_default()
    }

    /// The features of examples of `shape`.
    ///
    /// # Errors
    /// If it holds others.
    pub(super) fn read_of(&self, shape: &[usize]) -> Result<Features, ShardError> {
        match (self.0.dtype(), self.0.shape()) {
            (Dtype::U8, [_, example @ ..]) if example == shape => Ok(Features::Bytes(self.0.data().to_vec())),
            (Dtype::F32, [_, example @ ..]) if example == shape => {
                Ok(Features::Floats(from_le_bytes(self.0.data()).collect()))
            }
            _ => Err(unexpected("features", &self.0, format!("U8 or F32 [examples, then {shape:?}]"))),
        }
    }
}

impl LabelsTensor<'_> {
    /// The labels of examples of so many classes.
    ///
    /// # Errors
    /// If it holds others.
    pub(super) fn read_of(&self, classes: usize) -> Result<Vec<u16>, ShardError> {
        let expected = label_type(classes);
        match (self.0.dtype(), self.0.shape()) {
            (Dtype::U8, [_]) if expected == Dtype::U8 => {
                Ok(self.0.data().iter().map(|label| u16::from(*label)).collect())
            }
            (Dtype::U16, [_]) if expected == Dtype::U16 => {
                let words = self.0.data().chunks_exact(2);
                Ok(words.map(|word| u16::from_le_bytes([word[0], word[1]])).collect())
            }
            _ => Err(unexpected("labels", &self.0, format!("{expected:?} [examples]"))),
        }
    }
}

fn digest_of(parts: [&[u8]; 3]) -> Digest {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(part);
    }
    Digest(hash.finalize().into())
}

fn digest_line(digest: &Digest) -> String {
    format!("blake3 = \"{digest}\"\n")
}

/// Before anything else: only of this format is it known what should be there.
fn check_format(text: &str, expected: &'static str) -> Result<(), ShardError> {
    #[derive(Deserialize)]
    struct OfAnyFormat {
        format: String,
    }
    let OfAnyFormat { format: actual } = parse(text)?;
    match &*actual {
        format if format == expected => Ok(()),
        DEALT => Err(ShardError::Dealt),
        IMPORTED => Err(ShardError::Imported),
        _ => Err(ShardError::Format { actual, expected }),
    }
}

/// The type of the labels of so many classes.
fn label_type(classes: usize) -> Dtype {
    if has_byte_labels(classes) { Dtype::U8 } else { Dtype::U16 }
}

fn unexpected(name: &'static str, tensor: &TensorView<'_>, expected: String) -> ShardError {
    ShardError::Tensor { name, dtype: tensor.dtype(), shape: tensor.shape().to_vec(), expected }
}
