//! The file that brings a shard to its device.
//!
//! Its digest names what the shard was made from as well as what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use input::chosen::Chosen;
use serde::{Deserialize, Serialize};
use wire::identity::{DeviceId, Digest};

use super::sealed::{self, Sealed, ShardError};
use super::{Dataset, Shard, ShardSource, Source};

const FORMAT: &str = sealed::DEALT;

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

impl Shard {
    /// The digest of this shard in a file that says `info` of itself.
    pub fn digest(&self, info: &ShardInfo) -> Digest {
        let (dataset, header) = (self.dataset(), self.header(info));
        sealed::digest(&header, &dataset.features_at(self.indices()), self.labels(), dataset.classes())
    }

    /// Writes a shard file; the same shard always gives the same bytes.
    ///
    /// # Panics
    /// Never: the lengths of a shard's tensors are those of its examples.
    pub fn to_bytes(&self, info: &ShardInfo) -> Vec<u8> {
        let dataset = self.dataset();
        let features = dataset.features_at(self.indices());
        sealed::write(&self.header(info), dataset.shape(), &features, self.labels(), dataset.classes())
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
        let Sealed { header, features, labels, digest } = sealed::open(bytes, FORMAT)?;
        let Header { dataset: of, classes, device, source, .. } = sealed::parse(&header)?;
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
        let features = features.read_of(&spec.shape)?;
        let labels = labels.read_of(spec.classes)?;
        let examples = Dataset::new(spec.shape, spec.classes, features, labels)?;
        let info = ShardInfo { dataset: of, device, source };
        Ok(ShardFile { shard: Shard::whole(Arc::new(examples)), info, digest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::{BreastCancer, Features, Mnist};

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
