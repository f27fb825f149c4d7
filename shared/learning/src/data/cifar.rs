//! CIFAR-10 and CIFAR-100 in their binary form: rows of labels and three planes of 32 x 32 bytes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    DataError, Dataset, DatasetError, Features, FileName, Folder, Mirror, Published, Source, Spec, Split,
};

const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;
const CHANNELS: usize = 3;
/// The training part; the test part has fewer.
const MOST: usize = 50_000;

/// Photographs of animals and vehicles in 10 classes, 32x32 in colour.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Cifar10 {}

/// Photographs of a hundred kinds of things, 32x32 in colour.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cifar100 {
    /// Whether there is one class for each of the 100 kinds, or for each of their 20 groups.
    pub labels: CifarLabels,
}

/// Which of the two labels of CIFAR-100 count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CifarLabels {
    /// The 100 kinds.
    #[default]
    Fine,
    /// The 20 groups.
    Coarse,
}

/// How a row begins.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// How many labels it has.
    labels: usize,
    /// Which of them counts.
    counts: usize,
    classes: usize,
}

impl Cifar100 {
    fn row(&self) -> Row {
        match self.labels {
            CifarLabels::Coarse => Row { labels: 2, counts: 0, classes: 20 },
            CifarLabels::Fine => Row { labels: 2, counts: 1, classes: 100 },
        }
    }
}

const CIFAR_10: Row = Row { labels: 1, counts: 0, classes: 10 };

impl Source for Cifar10 {
    fn spec(&self) -> Spec {
        let training = (1..=5).map(|batch| format!("data_batch_{batch}.bin"));
        spec("cifar-10", CIFAR_10, training.chain(["test_batch.bin".to_owned()]))
    }

    fn comes_split(&self) -> bool {
        true
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        let mut rows = Vec::new();
        for batch in 1..5 {
            let join = |bytes: &[u8]| check(bytes, CIFAR_10).map(|()| rows.extend_from_slice(bytes));
            folder.read(&format!("data_batch_{batch}.bin"), join)?;
        }
        let train = folder.read("data_batch_5.bin", |bytes| {
            check(bytes, CIFAR_10)?;
            rows.extend_from_slice(bytes);
            pictures(&rows, CIFAR_10)
        })?;
        Ok(Split { train, test: self.load_test(folder, seed)? })
    }

    fn load_test(&self, folder: &Folder, _: u64) -> Result<Dataset, DataError> {
        folder.read("test_batch.bin", |bytes| pictures(bytes, CIFAR_10))
    }

    fn published(&self) -> Option<Published> {
        Some(published(
            "get https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz, unpack it, and run `hil data fetch cifar-10 --from \
             cifar-10-batches-bin`",
        ))
    }
}

impl Source for Cifar100 {
    fn spec(&self) -> Spec {
        spec("cifar-100", self.row(), ["train.bin".to_owned(), "test.bin".to_owned()])
    }

    fn comes_split(&self) -> bool {
        true
    }

    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError> {
        let train = folder.read("train.bin", |bytes| pictures(bytes, self.row()))?;
        Ok(Split { train, test: self.load_test(folder, seed)? })
    }

    fn load_test(&self, folder: &Folder, _: u64) -> Result<Dataset, DataError> {
        folder.read("test.bin", |bytes| pictures(bytes, self.row()))
    }

    fn published(&self) -> Option<Published> {
        Some(published(
            "get https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz, unpack it, and run `hil data fetch cifar-100 --from \
             cifar-100-binary`",
        ))
    }
}

fn spec(folder: &str, row: Row, files: impl IntoIterator<Item = String>) -> Spec {
    Spec {
        shape: vec![SIDE, SIDE, CHANNELS],
        classes: row.classes,
        max_examples: MOST,
        folder: folder.to_owned(),
        files: files.into_iter().map(FileName::from).collect(),
    }
}

fn published(by_hand: &'static str) -> Published {
    Published {
        licence: "not stated",
        origin: "https://www.cs.toronto.edu/~kriz/cifar.html",
        size: "160 MiB",
        mirror: Mirror::ByHand(by_hand),
        content: Vec::new(),
        download: Vec::new(),
    }
}

/// Why bytes are no rows of pictures.
#[derive(Debug, thiserror::Error)]
enum CifarError {
    #[error("{bytes} bytes are not 1 to {MOST} rows of {row}: is it the binary form?")]
    Length { bytes: usize, row: usize },
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

fn check(bytes: &[u8], row: Row) -> Result<(), CifarError> {
    let length = row.labels + CHANNELS * PIXELS;
    let is_whole = !bytes.is_empty() && bytes.len().is_multiple_of(length) && bytes.len() / length <= MOST;
    if is_whole { Ok(()) } else { Err(CifarError::Length { bytes: bytes.len(), row: length }) }
}

/// The pictures of all rows, their channels last.
fn pictures(bytes: &[u8], row: Row) -> Result<Dataset, CifarError> {
    check(bytes, row)?;
    let rows = || bytes.chunks_exact(row.labels + CHANNELS * PIXELS);
    let labels = rows().map(|bytes| u16::from(bytes[row.counts])).collect();
    let pixels = rows().flat_map(|bytes| {
        let planes = &bytes[row.labels..];
        (0..PIXELS * CHANNELS).map(|place| planes[place % CHANNELS * PIXELS + place / CHANNELS])
    });
    Ok(Dataset::new(vec![SIDE, SIDE, CHANNELS], row.classes, Features::Bytes(pixels.collect()), labels)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use input::chosen::Chosen;

    use super::*;
    use crate::data::load;

    /// A row whose red, green and blue bytes are all these.
    fn row(labels: &[u8], colour: [u8; 3]) -> Vec<u8> {
        labels.iter().copied().chain(colour.iter().flat_map(|value| [*value; PIXELS])).collect()
    }

    fn split(
        folder: &str,
        files: &[(&str, Vec<u8>)],
        source: impl Source + 'static,
    ) -> Result<Split, String> {
        let datasets = tempfile::tempdir().unwrap();
        fs::create_dir(datasets.path().join(folder)).unwrap();
        files
            .iter()
            .for_each(|(name, bytes)| fs::write(datasets.path().join(folder).join(name), bytes).unwrap());
        let source: Chosen<dyn Source> =
            Chosen::new("kind", folder, toml::Table::new(), Arc::new(source), None);
        load(&source, datasets.path(), 1).map_err(|error| error.to_string())
    }

    fn cifar_10(last: Vec<u8>) -> Result<Split, String> {
        let names = ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin"];
        let mut files: Vec<_> =
            names.into_iter().zip((1..).map(|label| row(&[label], [label, 0, 255]))).collect();
        files.extend([("data_batch_5.bin", last), ("test_batch.bin", row(&[9], [1, 2, 3]))]);
        split("cifar-10", &files, Cifar10 {})
    }

    #[test]
    fn pictures_have_their_channels_last_and_batches_are_in_order() {
        let Split { train, test } = cifar_10([row(&[5], [7; 3]), row(&[6], [8; 3])].concat()).unwrap();
        assert_eq!(
            (train.shape(), train.classes(), train.labels()),
            (&[32, 32, 3][..], 10, &[1, 2, 3, 4, 5, 6][..])
        );
        let Features::Bytes(pixels) = train.batch(&[1]).features else { panic!("pixels are bytes") };
        assert!(pixels.chunks(3).all(|pixel| pixel == [2, 0, 255]));
        assert_eq!((test.labels(), test.len()), (&[9][..], 1));
    }

    #[test]
    fn either_label_of_the_hundred_kinds_counts() {
        let files = || [("train.bin", row(&[19, 99], [0; 3])), ("test.bin", row(&[3, 50], [0; 3]))];
        let fine = split("cifar-100", &files(), Cifar100::default()).unwrap();
        assert_eq!(
            (fine.train.classes(), fine.train.labels(), fine.test.labels()),
            (100, &[99][..], &[50][..])
        );
        let coarse = split("cifar-100", &files(), Cifar100 { labels: CifarLabels::Coarse }).unwrap();
        assert_eq!(
            (coarse.train.classes(), coarse.train.labels(), coarse.test.labels()),
            (20, &[19][..], &[3][..])
        );
    }

    #[test]
    fn files_that_are_something_else_are_refused() {
        for last in [Vec::new(), vec![0; 100], [row(&[1], [0; 3]), vec![0]].concat()] {
            let error = cifar_10(last).unwrap_err();
            assert!(
                error.contains("data_batch_5.bin: ") && error.contains("is it the binary form?"),
                "{error}"
            );
        }
        let error = cifar_10(row(&[10], [0; 3])).unwrap_err();
        assert!(error.contains("has the label 10; labels must be below 10"), "{error}");
    }
}
