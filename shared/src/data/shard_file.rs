//! The file that brings a shard to its device.
//!
//! A safetensors file with the tensors `features` (U8 or F32, `[examples, ...shape]`) and `labels` (U8,
//! `[examples]`). Its metadata has the one key `shard`, a TOML text: safetensors writes metadata keys in
//! random order, and the same shard must always be the same bytes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{Dataset, DatasetError, DatasetName, Features, Shard};
use crate::identity::DeviceId;

const FORMAT: &str = "outpost-shard-1";
const METADATA_KEY: &str = "shard";

/// What a shard file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// The data set that the examples are of.
    pub dataset: DatasetName,
    /// The device they are for.
    pub device: DeviceId,
}

/// The metadata as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    format: Cow<'a, str>,
    dataset: DatasetName,
    classes: usize,
    device: DeviceId,
}

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
        "the format is {0:?}, this version reads `{FORMAT}`; write the shard file again with this version"
    )]
    Format(String),
    /// A wrong number of classes for the data set.
    #[error("{actual} classes, where {dataset} has {expected}; write the shard file again")]
    Classes {
        /// The data set.
        dataset: DatasetName,
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

impl Shard {
    /// Writes a shard file; the same shard always gives the same bytes.
    ///
    /// # Panics
    /// Never: the lengths of a shard's tensors are those of its examples.
    pub fn to_bytes(&self, info: ShardInfo) -> Vec<u8> {
        let dataset = self.dataset();
        let header = Header {
            format: FORMAT.into(),
            dataset: info.dataset,
            classes: dataset.classes(),
            device: info.device,
        };
        let header = toml::to_string(&header).expect("names and small numbers");
        let (dtype, features) = match dataset.features_at(self.indices()) {
            Features::Bytes(values) => (Dtype::U8, values),
            Features::Floats(values) => (Dtype::F32, values.into_iter().flat_map(f32::to_le_bytes).collect()),
        };
        let shape = [&[self.len()], dataset.shape()].concat();
        let tensors = [
            ("features", TensorView::new(dtype, shape, &features)),
            ("labels", TensorView::new(Dtype::U8, vec![self.len()], self.labels())),
        ];
        let tensors = tensors.map(|(name, view)| (name, view.expect("as many values as the shape has")));
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), header)]);
        safetensors::serialize(tensors, Some(metadata)).expect("two tensors of different names")
    }

    /// Reads what [`Shard::to_bytes`] wrote: all examples of the file, and what it says of itself.
    ///
    /// # Errors
    /// If `bytes` are anything but a shard file of this version, with examples of the shape and the classes
    /// of the data set it names.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Shard, ShardInfo), ShardError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
        let header = read_header(header.ok_or(ShardError::NotAShard)?)?;
        let spec = header.dataset.spec();
        if header.classes != spec.classes {
            let (expected, actual) = (spec.classes, header.classes);
            return Err(ShardError::Classes { dataset: header.dataset, expected, actual });
        }
        let file = SafeTensors::deserialize(bytes)?;
        let features = read_features(&file.tensor("features")?, spec.shape)?;
        let labels = read_labels(&file.tensor("labels")?)?;
        let dataset = Dataset::new(spec.shape.to_vec(), spec.classes, features, labels)?;
        let info = ShardInfo { dataset: header.dataset, device: header.device };
        Ok((Shard::whole(Arc::new(dataset)), info))
    }
}

fn read_header(text: &str) -> Result<Header<'_>, ShardError> {
    let header: Header<'_> =
        toml::from_str(text).map_err(|error| ShardError::Header(error.message().to_owned()))?;
    if header.format == FORMAT { Ok(header) } else { Err(ShardError::Format(header.format.into_owned())) }
}

fn read_features(tensor: &TensorView<'_>, shape: &[usize]) -> Result<Features, ShardError> {
    match (tensor.dtype(), tensor.shape()) {
        (Dtype::U8, [_, example @ ..]) if example == shape => Ok(Features::Bytes(tensor.data().to_vec())),
        (Dtype::F32, [_, example @ ..]) if example == shape => {
            let words = tensor.data().chunks_exact(4);
            let values = words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            Ok(Features::Floats(values.collect()))
        }
        _ => Err(unexpected("features", tensor, format!("U8 or F32 [examples, then {shape:?}]"))),
    }
}

fn read_labels(tensor: &TensorView<'_>) -> Result<Vec<u8>, ShardError> {
    match (tensor.dtype(), tensor.shape()) {
        (Dtype::U8, [_]) => Ok(tensor.data().to_vec()),
        _ => Err(unexpected("labels", tensor, "U8 [examples]".to_owned())),
    }
}

fn unexpected(name: &'static str, tensor: &TensorView<'_>, expected: String) -> ShardError {
    ShardError::Tensor { name, dtype: tensor.dtype(), shape: tensor.shape().to_vec(), expected }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(dataset: DatasetName) -> ShardInfo {
        ShardInfo { dataset, device: DeviceId(7) }
    }

    /// The last two of three rows.
    fn rows() -> Shard {
        let values = (0..90u8).map(|value| f32::from(value) / 7.0).collect();
        let dataset = Dataset::new(vec![30], 2, Features::Floats(values), vec![0, 1, 0]).unwrap();
        Shard::new(Arc::new(dataset), vec![1, 2])
    }

    fn file() -> Vec<u8> {
        rows().to_bytes(info(DatasetName::BreastCancer))
    }

    fn assert_same_examples(read: &Shard, written: &Shard) {
        assert_eq!(read.labels(), written.labels());
        let features = |shard: &Shard| shard.dataset().features_at(shard.indices());
        assert_eq!(features(read), features(written));
    }

    /// The error for the file in which `from` stands as `to`, which must be of the same length.
    fn error(from: &str, to: &str) -> String {
        let (mut file, from) = (file(), from.as_bytes());
        let start = file.windows(from.len()).position(|window| window == from).unwrap();
        file[start..][..from.len()].copy_from_slice(to.as_bytes());
        Shard::from_bytes(&file).unwrap_err().to_string()
    }

    #[test]
    fn a_round_trip_keeps_floats_labels_and_info() {
        let (read, read_info) = Shard::from_bytes(&file()).unwrap();
        assert_same_examples(&read, &rows());
        assert_eq!((read.indices(), read_info), (&[0, 1][..], info(DatasetName::BreastCancer)));
    }

    #[test]
    fn a_round_trip_keeps_bytes_and_changed_labels() {
        let pixels = Features::Bytes((0..2 * 784).map(|value| (value % 251) as u8).collect());
        let dataset = Dataset::new(vec![28, 28], 10, pixels, vec![3, 9]).unwrap();
        let shard = Shard::new(Arc::new(dataset), vec![1]).with_labels(|label| 9 - label);
        let file = shard.to_bytes(info(DatasetName::Mnist));
        assert!(file.len() < 784 + 512, "pixels are to stay bytes");
        let (read, read_info) = Shard::from_bytes(&file).unwrap();
        assert_same_examples(&read, &shard);
        assert_eq!(read_info, info(DatasetName::Mnist));
    }

    #[test]
    fn an_empty_shard_can_be_written_and_read() {
        let dataset = Arc::new(Dataset::new(vec![30], 2, Features::Floats(vec![]), vec![]).unwrap());
        let file = Shard::whole(dataset).to_bytes(info(DatasetName::BreastCancer));
        assert!(Shard::from_bytes(&file).unwrap().0.is_empty());
    }

    #[test]
    fn the_same_shard_is_always_the_same_bytes() {
        for _ in 0..20 {
            assert_eq!(file(), file());
        }
    }

    #[test]
    fn errors_say_what_differs() {
        let again = "; write the shard file again";
        let format = error("outpost-shard-1", "outpost-shard-2");
        assert_eq!(
            format,
            format!(
                "the format is \"outpost-shard-2\", this version reads `outpost-shard-1`{again} with this version"
            )
        );
        let classes = error("classes = 2", "classes = 3");
        assert_eq!(classes, format!("3 classes, where breast-cancer has 2{again}"));
        assert!(error("breast-cancer", "breast-canker").contains("unknown variant"));
        assert!(error("device", "gadget").contains("unknown field"));
        assert!(error("\"shard\"", "\"trash\"").contains("is it a shard file?"));
        assert_eq!(
            error("[2,30]", "[30,2]"),
            format!("tensor `features` is F32 [30, 2]; expected U8 or F32 [examples, then [30]]{again}")
        );
        assert_eq!(
            error("{\"dtype\":\"U8\"", "{\"dtype\":\"I8\""),
            format!("tensor `labels` is I8 [2]; expected U8 [examples]{again}")
        );
    }

    #[test]
    fn a_label_that_is_no_class_and_a_nan_are_refused() {
        let mut other_label = file();
        *other_label.last_mut().unwrap() = 2;
        assert!(Shard::from_bytes(&other_label).unwrap_err().to_string().contains("the label 2"));
        let mut nan = file();
        let last_feature = nan.len() - 2 - 4;
        nan[last_feature..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(Shard::from_bytes(&nan).unwrap_err().to_string().contains("not a finite number"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Shard::from_bytes(&bytes).is_err());
        }

        #[test]
        fn mutated_files_are_read_or_refused(
            changes in prop::collection::vec((0usize..400, any::<u8>()), 0..4),
            cut in 0usize..100,
        ) {
            let mut bytes = file();
            for (position, byte) in changes {
                if let Some(slot) = bytes.get_mut(position) { *slot = byte }
            }
            bytes.truncate(bytes.len() - cut);
            if let Ok((shard, _)) = Shard::from_bytes(&bytes) {
                prop_assert_eq!(shard.len(), 2);
            }
        }
    }
}
