//! The file that brings a shard to its device.
//!
//! A safetensors file with the tensors `features` (U8 or F32, `[examples, ...shape]`) and `labels` (U8, or U16
//! where there are more than 256 classes, `[examples]`). Its metadata has the one key `shard`, a TOML text: safetensors writes metadata keys in
//! random order, and the same shard must always be the same bytes.
//!
//! The first line of that text is the shard's digest: BLAKE3 of all that follows it in the text, of the features and
//! of the labels, as they stand in the file. So it names what the shard was made from as well as what came of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use input::chosen::Chosen;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use wire::identity::{DeviceId, Digest};

use super::dataset::{has_byte_labels, label_bytes};
use super::{Dataset, DatasetError, Features, Shard, ShardSource, Source};
use crate::parameters::from_le_bytes;

const FORMAT: &str = "outpost-shard-2";
const METADATA_KEY: &str = "shard";

/// What a shard file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// The name of the data set that the examples are of.
    pub dataset: String,
    /// The device they are for.
    pub device: DeviceId,
    /// What the shard was made from.
    pub source: ShardSource,
}

/// A shard as it came from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardFile {
    /// All examples of the file.
    pub shard: Shard,
    /// What the file says of itself.
    pub info: ShardInfo,
    /// Its digest, which is the one of what is in it.
    pub digest: Digest,
}

/// The metadata as it is written, after the line with the digest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    dataset: String,
    classes: usize,
    device: DeviceId,
    source: ShardSource,
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

impl Shard {
    /// The digest of this shard in a file that says `info` of itself.
    pub fn digest(&self, info: &ShardInfo) -> Digest {
        let features = self.dataset().features_at(self.indices());
        digest(
            &self.header(info),
            &features.to_le_bytes(),
            &label_bytes(self.labels(), self.dataset().classes()),
        )
    }

    /// Writes a shard file; the same shard always gives the same bytes.
    ///
    /// # Panics
    /// Never: the lengths of a shard's tensors are those of its examples.
    pub fn to_bytes(&self, info: &ShardInfo) -> Vec<u8> {
        let dataset = self.dataset();
        let header = self.header(info);
        let features = dataset.features_at(self.indices());
        let dtype = match &features {
            Features::Bytes(_) => Dtype::U8,
            Features::Floats(_) => Dtype::F32,
        };
        let features = features.to_le_bytes();
        let labels = label_bytes(self.labels(), dataset.classes());
        let header = format!("{}{header}", digest_line(&digest(&header, &features, &labels)));
        let shape = [&[self.len()], dataset.shape()].concat();
        let tensors = [
            ("features", TensorView::new(dtype, shape, &features)),
            ("labels", TensorView::new(label_type(dataset.classes()), vec![self.len()], &labels)),
        ];
        let tensors = tensors.map(|(name, view)| (name, view.expect("as many values as the shape has")));
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), header)]);
        safetensors::serialize(tensors, Some(metadata)).expect("two tensors of different names")
    }

    fn header(&self, info: &ShardInfo) -> String {
        let header = Header {
            format: FORMAT.to_owned(),
            dataset: info.dataset.clone(),
            classes: self.dataset().classes(),
            device: info.device,
            source: info.source.clone(),
        };
        toml::to_string(&header).expect("names, texts and small numbers")
    }
}

impl ShardFile {
    /// Reads what [`Shard::to_bytes`] wrote: a shard of `dataset` that was made by `settings`.
    ///
    /// # Errors
    /// If `bytes` are anything but a shard file of this version as it was written, if it was made from something else, or
    /// if its examples have not the shape and the classes of the data set.
    pub fn read(
        bytes: &[u8],
        dataset: &Chosen<dyn Source>,
        settings: &BTreeMap<String, String>,
    ) -> Result<Self, ShardError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY));
        let text = text.ok_or(ShardError::NotAShard)?;
        check_format(text)?;
        let file = SafeTensors::deserialize(bytes)?;
        let (features, labels) = (file.tensor("features")?, file.tensor("labels")?);
        let (first, header) = text.split_at(text.find('\n').map_or(text.len(), |end| end + 1));
        let digest = digest(header, features.data(), labels.data());
        if first != digest_line(&digest) {
            let written = first.trim_end().trim_start_matches("blake3 = ").trim_matches('"').to_owned();
            return Err(ShardError::Damaged { written, actual: digest });
        }
        let Header { dataset: of, classes, device, source, .. } = parse(header)?;
        if let Some(difference) = source.differs_from(settings) {
            return Err(ShardError::Source(difference));
        }
        if of != dataset.name() {
            return Err(ShardError::Source(format!("made of {of}, but the scenario says {dataset}")));
        }
        let spec = dataset.spec();
        if classes != spec.classes {
            return Err(ShardError::Classes { dataset: of, expected: spec.classes, actual: classes });
        }
        let features = read_features(&features, &spec.shape)?;
        let labels = read_labels(&labels, spec.classes)?;
        let examples = Dataset::new(spec.shape, spec.classes, features, labels)?;
        let info = ShardInfo { dataset: of, device, source };
        Ok(ShardFile { shard: Shard::whole(Arc::new(examples)), info, digest })
    }
}

fn digest(header: &str, features: &[u8], labels: &[u8]) -> Digest {
    let mut hash = blake3::Hasher::new();
    for part in [header.as_bytes(), features, labels] {
        hash.update(part);
    }
    Digest(hash.finalize().into())
}

fn digest_line(digest: &Digest) -> String {
    format!("blake3 = \"{digest}\"\n")
}

/// Before anything else: only of this format is it known what should be there.
fn check_format(text: &str) -> Result<(), ShardError> {
    #[derive(Deserialize)]
    struct OfAnyFormat {
        format: String,
    }
    let OfAnyFormat { format } = parse(text)?;
    if format == FORMAT { Ok(()) } else { Err(ShardError::Format(format)) }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ShardError> {
    toml::from_str(text).map_err(|error| ShardError::Header(error.message().to_owned()))
}

fn read_features(tensor: &TensorView<'_>, shape: &[usize]) -> Result<Features, ShardError> {
    match (tensor.dtype(), tensor.shape()) {
        (Dtype::U8, [_, example @ ..]) if example == shape => Ok(Features::Bytes(tensor.data().to_vec())),
        (Dtype::F32, [_, example @ ..]) if example == shape => {
            Ok(Features::Floats(from_le_bytes(tensor.data()).collect()))
        }
        _ => Err(unexpected("features", tensor, format!("U8 or F32 [examples, then {shape:?}]"))),
    }
}

fn read_labels(tensor: &TensorView<'_>, classes: usize) -> Result<Vec<u16>, ShardError> {
    let expected = label_type(classes);
    match (tensor.dtype(), tensor.shape()) {
        (Dtype::U8, [_]) if expected == Dtype::U8 => {
            Ok(tensor.data().iter().map(|label| u16::from(*label)).collect())
        }
        (Dtype::U16, [_]) if expected == Dtype::U16 => {
            let words = tensor.data().chunks_exact(2);
            Ok(words.map(|word| u16::from_le_bytes([word[0], word[1]])).collect())
        }
        _ => Err(unexpected("labels", tensor, format!("{expected:?} [examples]"))),
    }
}

/// The type of the labels of so many classes.
fn label_type(classes: usize) -> Dtype {
    if has_byte_labels(classes) { Dtype::U8 } else { Dtype::U16 }
}

fn unexpected(name: &'static str, tensor: &TensorView<'_>, expected: String) -> ShardError {
    ShardError::Tensor { name, dtype: tensor.dtype(), shape: tensor.shape().to_vec(), expected }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::{BreastCancer, Mnist};

    fn settings() -> BTreeMap<String, String> {
        [("fleet.non-iid".to_owned(), "0.5".to_owned())].into()
    }

    fn info(dataset: &str) -> ShardInfo {
        let source = ShardSource { data: Digest([0xab; 32]), settings: settings() };
        ShardInfo { dataset: dataset.to_owned(), device: DeviceId(7), source }
    }

    fn read_as(dataset: &str, bytes: &[u8]) -> Result<ShardFile, ShardError> {
        let source: Arc<dyn Source> =
            if dataset == "mnist" { Arc::new(Mnist {}) } else { Arc::new(BreastCancer {}) };
        ShardFile::read(bytes, &Chosen::new("kind", dataset, toml::Table::new(), source, None), &settings())
    }

    fn read(bytes: &[u8]) -> Result<ShardFile, ShardError> {
        read_as("breast-cancer", bytes)
    }

    /// The last two of three rows.
    fn rows() -> Shard {
        let values = (0..90u8).map(|value| f32::from(value) / 7.0).collect();
        let dataset = Dataset::new(vec![30], 2, Features::Floats(values), vec![0, 1, 0]).unwrap();
        Shard::new(Arc::new(dataset), vec![1, 2])
    }

    fn file() -> Vec<u8> {
        rows().to_bytes(&info("breast-cancer"))
    }

    fn assert_same_examples(read: &Shard, written: &Shard) {
        assert_eq!(read.labels(), written.labels());
        let features = |shard: &Shard| shard.dataset().features_at(shard.indices());
        assert_eq!(features(read), features(written));
    }

    /// The file in which `from` stands as `to`, which must be of the same length.
    fn changed(from: &str, to: &str) -> Vec<u8> {
        let mut file = file();
        let start = file.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        file[start..][..from.len()].copy_from_slice(to.as_bytes());
        file
    }

    /// The error for such a file that was written so: its digest is of what is in it.
    fn error(mut file: Vec<u8>) -> String {
        if let Err(ShardError::Damaged { written, actual }) = read(&file) {
            let start = file.windows(64).position(|window| window == written.as_bytes()).unwrap();
            file[start..][..64].copy_from_slice(actual.to_string().as_bytes());
        }
        read(&file).unwrap_err().to_string()
    }

    #[test]
    fn a_round_trip_keeps_floats_labels_info_and_digest() {
        let ShardFile { shard, info: read_info, digest } = read(&file()).unwrap();
        assert_same_examples(&shard, &rows());
        let info = info("breast-cancer");
        assert_eq!((shard.indices(), digest), (&[0, 1][..], rows().digest(&info)));
        assert_eq!(read_info, info);
    }

    #[test]
    fn a_round_trip_keeps_bytes_and_changed_labels() {
        let pixels = Features::Bytes((0..2 * 784).map(|value| (value % 251) as u8).collect());
        let dataset = Dataset::new(vec![28, 28], 10, pixels, vec![3, 9]).unwrap();
        let shard = Shard::new(Arc::new(dataset), vec![1]).with_labels(|label| 9 - label);
        let file = shard.to_bytes(&info("mnist"));
        assert!(file.len() < 784 + 768, "pixels are to stay bytes");
        let read = read_as("mnist", &file).unwrap();
        assert_same_examples(&read.shard, &shard);
        assert_eq!(read.info, info("mnist"));
    }

    #[test]
    fn an_empty_shard_can_be_written_and_read() {
        let dataset = Arc::new(Dataset::new(vec![30], 2, Features::Floats(vec![]), vec![]).unwrap());
        let file = Shard::whole(dataset).to_bytes(&info("breast-cancer"));
        assert!(read(&file).unwrap().shard.is_empty());
    }

    #[test]
    fn the_digest_names_examples_labels_device_and_source() {
        let info = info("breast-cancer");
        let digest = rows().digest(&info);
        let other_device = ShardInfo { device: DeviceId(8), ..info.clone() };
        let other_data = ShardSource { data: Digest([0xcd; 32]), ..info.source.clone() };
        let other_source = ShardInfo { source: other_data, ..info.clone() };
        let other_labels = rows().with_labels(|label| 1 - label);
        let others = [rows().digest(&other_device), rows().digest(&other_source), other_labels.digest(&info)];
        assert!(!others.contains(&digest));
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let whole = file();
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
        }
        let mut flipped = whole;
        *flipped.last_mut().unwrap() ^= 1;
        let error = read(&flipped).unwrap_err().to_string();
        assert!(error.starts_with("damaged: its digest is "), "{error}");
        assert!(error.ends_with("; copy or write the shard file again"), "{error}");
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
        assert_eq!(
            error(changed("outpost-shard-2", "outpost-shard-1")),
            format!(
                "the format is \"outpost-shard-1\", this version reads `outpost-shard-2`{again} with this version"
            )
        );
        let classes = error(changed("classes = 2", "classes = 3"));
        assert_eq!(classes, format!("3 classes, where breast-cancer has 2{again}"));
        assert_eq!(
            error(changed("breast-cancer", "breast-canker")),
            "made of breast-canker, but the scenario says breast-cancer; make the shards anew from this scenario"
        );
        assert!(error(changed("0.5", "0.9")).starts_with("made with fleet.non-iid = 0.9, but"));
        assert!(error(changed("device", "gadget")).contains("unknown field"));
        assert!(error(changed("\"shard\"", "\"trash\"")).contains("is it a shard file?"));
        assert_eq!(
            error(changed("[2,30]", "[30,2]")),
            format!("tensor `features` is F32 [30, 2]; expected U8 or F32 [examples, then [30]]{again}")
        );
        assert_eq!(
            error(changed("{\"dtype\":\"U8\"", "{\"dtype\":\"I8\"")),
            format!("tensor `labels` is I8 [2]; expected U8 [examples]{again}")
        );
    }

    #[test]
    fn a_label_that_is_no_class_and_a_nan_are_refused() {
        let mut other_label = file();
        *other_label.last_mut().unwrap() = 2;
        assert!(error(other_label).contains("the label 2"));
        let mut nan = file();
        let last_feature = nan.len() - 2 - 4;
        nan[last_feature..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(error(nan).contains("not a finite number"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes).is_err());
        }

        #[test]
        fn a_mutated_file_is_refused_or_says_the_same(
            changes in prop::collection::vec((0usize..900, any::<u8>()), 0..4),
            cut in 0usize..100,
        ) {
            let mut bytes = file();
            for (position, byte) in changes {
                if let Some(slot) = bytes.get_mut(position) { *slot = byte }
            }
            bytes.truncate(bytes.len() - cut);
            if let Ok(file_read) = read(&bytes) {
                prop_assert_eq!(file_read, read(&file()).unwrap());
            }
        }
    }
}
