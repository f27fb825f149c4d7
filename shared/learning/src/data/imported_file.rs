//! The file that `edge-client import` makes of a device's own examples.

use serde::{Deserialize, Serialize};
use wire::identity::Digest;

use super::sealed::{self, IMPORTED, Sealed, ShardError};
use super::{Dataset, Imported};

/// Examples of a device's own as they came from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedFile {
    /// The examples.
    pub imported: Imported,
    /// The digest of what is in the file.
    pub digest: Digest,
}

/// The metadata as it is written, after the line with the digest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    classes: Vec<String>,
    columns: Vec<String>,
}

impl Imported {
    /// Writes the file; the same examples always give the same bytes.
    ///
    /// # Panics
    /// Never: names are plain TOML.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Imported { examples, classes, columns, .. } = self;
        let header =
            Header { format: IMPORTED.to_owned(), classes: classes.clone(), columns: columns.clone() };
        let header = toml::to_string(&header).expect("names");
        sealed::write(&header, examples.shape(), examples.features(), examples.labels(), examples.classes())
    }
}

impl ImportedFile {
    /// Reads what [`Imported::to_bytes`] wrote.
    ///
    /// # Errors
    /// If `bytes` are anything but such a file as it was written.
    pub fn read(bytes: &[u8]) -> Result<Self, ShardError> {
        let Sealed { header, features, labels, digest } = sealed::open(bytes, IMPORTED)?;
        let Header { classes, columns, .. } = sealed::parse(&header)?;
        let shape = features.shape().to_vec();
        let (features, labels) = (features.read_of(&shape)?, labels.read_of(classes.len())?);
        let examples = Dataset::new(shape, classes.len(), features, labels)?;
        Ok(ImportedFile { imported: Imported { examples, classes, columns, dropped: 0 }, digest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::{Features, Shard, ShardInfo, ShardSource};
    use std::sync::Arc;
    use wire::identity::DeviceId;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn imported() -> Imported {
        let values = Features::Floats(vec![1.0, -2.5, 3.0, 4.0, 5.0, 6.5]);
        let examples = Dataset::new(vec![2], 2, values, vec![1, 0, 1]).unwrap();
        let (classes, columns) = (names(&["idle", "\"run\""]), names(&["heat", "load"]));
        Imported { examples, classes, columns, dropped: 0 }
    }

    /// The error of such a file in which `from` stands as `to`, of the same length, with its digest made right.
    fn error(from: &str, to: &str) -> String {
        let mut file = imported().to_bytes();
        let place = |file: &[u8], part: &str| {
            file.windows(part.len()).position(|window| window == part.as_bytes()).unwrap()
        };
        let start = place(&file, from);
        file[start..][..from.len()].copy_from_slice(to.as_bytes());
        if let Err(ShardError::Damaged { written, actual }) = ImportedFile::read(&file) {
            let start = place(&file, &written);
            file[start..][..64].copy_from_slice(actual.to_string().as_bytes());
        }
        ImportedFile::read(&file).unwrap_err().to_string()
    }

    #[test]
    fn a_file_reads_back_and_the_same_examples_are_the_same_bytes() {
        let bytes = imported().to_bytes();
        assert_eq!(ImportedFile::read(&bytes).unwrap().imported, imported());
        assert!((0..20).all(|_| imported().to_bytes() == bytes));
    }

    #[test]
    fn a_hostile_file_is_refused() {
        assert!(error("classes =", "classed =").contains("unknown field"), "a key");
        assert!(error("outpost-import-1", "outpost-import-9").contains("outpost-import-9"), "a format");
        assert!(error("[3,2]", "[2,3]").contains("there must be 3 values per label"), "a shape");
        assert!(error("[3,2]", "[6,1]").contains("there must be 1 values per label"), "another");
        assert!(error(r#"[\"idle\","#, "[         ").contains("the label 1"), "a class too few");
        let mut last = imported().to_bytes();
        *last.last_mut().unwrap() = 7;
        assert!(ImportedFile::read(&last).unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn dealt_and_imported_shards_are_told_apart() {
        let shard = Shard::whole(Arc::new(imported().examples));
        let source = ShardSource { data: Digest([0; 32]), settings: [].into() };
        let info = ShardInfo { dataset: "mnist".to_owned(), device: DeviceId(0), source };
        let error = ImportedFile::read(&shard.to_bytes(&info)).unwrap_err().to_string();
        assert!(error.contains("dealt out") && error.contains("`edge-client import`"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(ImportedFile::read(&bytes).is_err());
        }

        #[test]
        fn a_mutated_file_is_refused_or_says_the_same(
            changes in prop::collection::vec((0usize..400, any::<u8>()), 0..4),
            cut in 0usize..100,
        ) {
            let mut bytes = imported().to_bytes();
            for (position, byte) in changes {
                if let Some(slot) = bytes.get_mut(position) { *slot = byte }
            }
            bytes.truncate(bytes.len() - cut);
            if let Ok(read) = ImportedFile::read(&bytes) {
                prop_assert_eq!(read.imported, imported());
            }
        }
    }
}
