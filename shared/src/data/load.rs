//! Known data sets from a folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{
    BreastCancerError, ChMnistError, Dataset, DatasetError, DatasetName, Features, IdxError, Split,
    find_file, read_breast_cancer, read_ch_mnist, read_idx,
};
use crate::advice::Advised;

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file is not there.
    #[error("{path}: file not found; `hil data fetch {dataset}` gets it", path = path.display())]
    Missing {
        /// Where it should be, without the `.gz` that it may also have.
        path: PathBuf,
        /// The data set it belongs to.
        dataset: DatasetName,
    },
    /// A file cannot be read.
    #[error("{}: cannot be read: {}", path.display(), Advised(cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file with other content than expected.
    #[error("{path}: {cause}; remove the file and get it again with `hil data fetch`", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: ContentError,
    },
}

/// What is wrong with the content of a file.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Not the expected IDX file.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// Not the expected table of CH-MNIST.
    #[error(transparent)]
    ChMnist(#[from] ChMnistError),
    /// Not the expected table of Breast Cancer Wisconsin.
    #[error(transparent)]
    BreastCancer(#[from] BreastCancerError),
    /// Labels that do not fit the features.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// Loads both parts of a data set from its folder below `datasets`.
///
/// `seed` decides the split of data sets that come unsplit; the others come as they are. [`find_file`] says under which
/// names files are found.
///
/// # Errors
/// If a file is missing, unreadable or has other content than expected.
pub fn load(name: DatasetName, datasets: &Path, seed: u64) -> Result<Split, DataError> {
    match name {
        DatasetName::Mnist | DatasetName::FashionMnist => Ok(Split {
            train: load_images(name, datasets, "train")?,
            test: load_images(name, datasets, "t10k")?,
        }),
        DatasetName::ChMnist => load_ch_mnist(datasets, seed),
        DatasetName::BreastCancer => load_breast_cancer(datasets, seed),
    }
}

/// Loads the test part alone, which is all that an aggregator needs.
///
/// # Errors
/// As [`load()`].
pub fn load_test(name: DatasetName, datasets: &Path, seed: u64) -> Result<Dataset, DataError> {
    match name {
        DatasetName::Mnist | DatasetName::FashionMnist => load_images(name, datasets, "t10k"),
        DatasetName::ChMnist => Ok(load_ch_mnist(datasets, seed)?.test),
        DatasetName::BreastCancer => Ok(load_breast_cancer(datasets, seed)?.test),
    }
}

fn load_images(name: DatasetName, datasets: &Path, part: &str) -> Result<Dataset, DataError> {
    let spec = name.spec();
    let read = |file: &str, shape: &[usize]| {
        let (path, bytes) = read_file(name, datasets, &format!("{part}-{file}"))?;
        match read_idx(&bytes, shape, spec.max_examples) {
            Ok(values) => Ok((path, values)),
            Err(error) => Err(content(path, error)),
        }
    };
    let (_, pixels) = read("images-idx3-ubyte", spec.shape)?;
    let (path, labels) = read("labels-idx1-ubyte", &[])?;
    Dataset::new(spec.shape.to_vec(), spec.classes, Features::Bytes(pixels), labels)
        .map_err(|error| content(path, error))
}

fn load_ch_mnist(datasets: &Path, seed: u64) -> Result<Split, DataError> {
    let (path, table) = read_file(DatasetName::ChMnist, datasets, "hmnist_64_64_L.csv")?;
    read_ch_mnist(&table, seed).map_err(|error| content(path, error))
}

fn load_breast_cancer(datasets: &Path, seed: u64) -> Result<Split, DataError> {
    let (path, text) = read_file(DatasetName::BreastCancer, datasets, "wdbc.csv")?;
    read_breast_cancer(&text, seed).map_err(|error| content(path, error))
}

/// Reads a file of a data set, and says where it was.
fn read_file(dataset: DatasetName, datasets: &Path, file: &str) -> Result<(PathBuf, Vec<u8>), DataError> {
    let folder = datasets.join(dataset.spec().folder);
    let Some(path) = find_file(&folder, file) else {
        return Err(DataError::Missing { path: folder.join(file), dataset });
    };
    match fs::read(&path) {
        Ok(bytes) => Ok((path, bytes)),
        Err(cause) => Err(DataError::Unreadable { path, cause }),
    }
}

fn content(path: PathBuf, cause: impl Into<ContentError>) -> DataError {
    match cause.into() {
        // Nothing is wrong with the file.
        ContentError::Idx(IdxError::Gzip(cause))
        | ContentError::ChMnist(ChMnistError::Gzip { source: cause, .. })
            if cause.kind() == io::ErrorKind::OutOfMemory =>
        {
            DataError::Unreadable { path, cause }
        }
        cause => DataError::Content { path, cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_for_which_there_is_no_memory_is_not_called_damaged() {
        let error = IdxError::from(io::Error::from(io::ErrorKind::OutOfMemory));
        let said = content("pictures".into(), error).to_string();
        assert!(said.contains("ulimit -v") && !said.contains("remove the file"), "{said}");
    }

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets")
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
        load_test(DatasetName::Mnist, datasets, 1).unwrap_err().to_string()
    }

    #[test]
    fn mnist_of_the_repository_is_complete() {
        let split = load(DatasetName::Mnist, &repository(), 1).unwrap();
        assert_eq!((split.train.len(), split.test.len()), (60_000, 10_000));
        assert_eq!((split.train.shape(), split.train.classes()), (&[28, 28][..], 10));
        let mut counts = [0; 10];
        split.train.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
        assert_eq!(counts, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
        assert_eq!(split.train.labels()[..5], [5, 0, 4, 1, 9]);
        assert_eq!(split.test.labels()[..5], [7, 2, 1, 0, 4]);
        assert_eq!(load_test(DatasetName::Mnist, &repository(), 2).unwrap(), split.test);
    }

    #[test]
    fn the_test_part_of_breast_cancer_is_that_of_the_split() {
        let split = load(DatasetName::BreastCancer, &repository(), 4).unwrap();
        assert_eq!(load_test(DatasetName::BreastCancer, &repository(), 4).unwrap(), split.test);
    }

    #[test]
    fn the_first_file_that_is_missing_is_one_of_those_declared() {
        let datasets = tempfile::tempdir().unwrap();
        for name in DatasetName::ALL {
            let Err(DataError::Missing { path, .. }) = load(name, datasets.path(), 1) else {
                panic!("{name} is not there");
            };
            assert_eq!(path, datasets.path().join(name.spec().folder).join(name.spec().files[0]));
        }
    }

    #[test]
    fn plain_files_are_read_where_there_are_no_gzipped_ones() {
        let datasets = tempfile::tempdir().unwrap();
        write_test_part(datasets.path(), 2 * 784, [3, 9]);
        let test = load_test(DatasetName::Mnist, datasets.path(), 1).unwrap();
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
