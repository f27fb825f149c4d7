//! MNIST, and what other data sets in its files share with it.

use std::error::Error;

use formats::read_idx;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Features, FileName, Folder, Mirror, Published, Source, Spec, Split};

/// Handwritten digits, 28x28 grey.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Mnist {}

impl Source for Mnist {
    fn spec(&self) -> Spec {
        spec("mnist")
    }

    fn comes_split(&self) -> bool {
        true
    }

    fn load(&self, folder: &Folder, _: u64) -> Result<Split, DataError> {
        load(folder)
    }

    fn load_test(&self, folder: &Folder, _: u64) -> Result<Dataset, DataError> {
        load_part(folder, "t10k")
    }

    fn published(&self) -> Option<Published> {
        Some(Published {
            licence: "CC BY-SA 3.0",
            origin: "http://yann.lecun.com/exdb/mnist/",
            size: "11 MiB",
            mirror: Mirror::Url("https://storage.googleapis.com/cvdf-datasets/mnist"),
            content: vec![
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ],
            download: Vec::new(),
        })
    }
}

/// The [`Spec`] of pictures in four files as MNIST has them (paper section 4.1).
pub(super) fn spec(folder: &str) -> Spec {
    let part = |part: &str| [format!("{part}-images-idx3-ubyte"), format!("{part}-labels-idx1-ubyte")];
    Spec {
        shape: vec![28, 28],
        classes: 10,
        max_examples: 60_000,
        folder: folder.to_owned(),
        files: [part("train"), part("t10k")].into_iter().flatten().map(FileName::from).collect(),
    }
}

/// Both parts of such pictures.
pub(super) fn load(folder: &Folder) -> Result<Split, DataError> {
    Ok(Split { train: load_part(folder, "train")?, test: load_part(folder, "t10k")? })
}

/// The part of such pictures whose files begin with `part`.
pub(super) fn load_part(folder: &Folder, part: &str) -> Result<Dataset, DataError> {
    let Spec { shape, classes, max_examples, .. } = spec("");
    let pixels =
        folder.read(&format!("{part}-images-idx3-ubyte"), |bytes| read_idx(bytes, &shape, max_examples))?;
    folder.read(&format!("{part}-labels-idx1-ubyte"), |bytes| -> Result<_, Box<dyn Error + Send + Sync>> {
        let labels = read_idx(bytes, &[], max_examples)?.into_iter().map(u16::from).collect();
        Ok(Dataset::new(shape, classes, Features::Bytes(pixels), labels)?)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use input::chosen::Chosen;

    use super::*;
    use crate::data;

    fn mnist() -> Chosen<dyn Source> {
        Chosen::new("kind", "mnist", toml::Table::new(), Arc::new(Mnist::default()), None)
    }

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets")
    }

    /// Writes an IDX file of ten-class test data of two examples, with `pixels` as images.
    fn write_test_part(datasets: &Path, pixels: usize, labels: [u8; 2]) {
        let folder = datasets.join("mnist");
        fs::create_dir_all(&folder).unwrap();
        let header = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28];
        fs::write(folder.join("t10k-images-idx3-ubyte"), [&header[..], &vec![255; pixels]].concat()).unwrap();
        let header = [0, 0, 8, 1, 0, 0, 0, 2];
        fs::write(folder.join("t10k-labels-idx1-ubyte"), [&header[..], &labels].concat()).unwrap();
    }

    fn test_error(datasets: &Path) -> String {
        data::load_test(&mnist(), datasets, 1).unwrap_err().to_string()
    }

    #[test]
    fn mnist_of_the_repository_is_complete() {
        let split = data::load(&mnist(), &repository(), 1).unwrap();
        assert_eq!((split.train.len(), split.test.len()), (60_000, 10_000));
        assert_eq!((split.train.shape(), split.train.classes()), (&[28, 28][..], 10));
        let mut counts = [0; 10];
        split.train.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
        assert_eq!(counts, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
        assert_eq!(split.train.labels()[..5], [5, 0, 4, 1, 9]);
        assert_eq!(split.test.labels()[..5], [7, 2, 1, 0, 4]);
        assert_eq!(data::load_test(&mnist(), &repository(), 2).unwrap(), split.test);
    }

    #[test]
    fn plain_files_are_read_where_there_are_no_gzipped_ones() {
        let datasets = tempfile::tempdir().unwrap();
        write_test_part(datasets.path(), 2 * 784, [3, 9]);
        let test = data::load_test(&mnist(), datasets.path(), 1).unwrap();
        assert_eq!(test.labels(), [3, 9]);
        assert_eq!(test.batch(&[1]).features.to_floats(), vec![1.0; 784]);
    }

    #[test]
    fn errors_name_the_file_what_is_wrong_and_what_to_do() {
        let datasets = tempfile::tempdir().unwrap();
        let file = |name: &str| datasets.path().join("mnist").join(name).display().to_string();
        let remedy = "; remove the file and get it again with `hil data fetch`";

        let missing = "file not found; `hil data fetch mnist` gets it";
        assert_eq!(test_error(datasets.path()), format!("{}: {missing}", file("t10k-images-idx3-ubyte")));

        write_test_part(datasets.path(), 784, [3, 9]);
        let truncated = "ends before the last declared example";
        let error = test_error(datasets.path());
        assert_eq!(error, format!("{}: {truncated}{remedy}", file("t10k-images-idx3-ubyte")));

        write_test_part(datasets.path(), 2 * 784, [3, 10]);
        let label = "example 1 (from 0) has the label 10; labels must be below 10";
        let error = test_error(datasets.path());
        assert_eq!(error, format!("{}: {label}{remedy}", file("t10k-labels-idx1-ubyte")));

        let loop_of_links = datasets.path().join("mnist/t10k-images-idx3-ubyte.gz");
        std::os::unix::fs::symlink(&loop_of_links, &loop_of_links).unwrap();
        let error = test_error(datasets.path());
        assert!(
            error.starts_with(&format!("{}: cannot be read", file("t10k-images-idx3-ubyte.gz"))),
            "{error}"
        );
    }
}
