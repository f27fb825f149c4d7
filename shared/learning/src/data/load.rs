//! Loading data sets from their folders.

use std::error::Error;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::{fs, io, iter};

use formats::gzip;
use input::advice::Advised;
use input::chosen::Chosen;

use super::{Dataset, FileName, Source, Split};

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file is not there.
    #[error("{path}: file not found; `hil data fetch {dataset}` gets it", path = path.display())]
    Missing {
        /// Where it should be, without the `.gz` that it may also have.
        path: PathBuf,
        /// The name of the data set that it belongs to.
        dataset: String,
    },
    /// A file cannot be read.
    #[error("{}: cannot be read: {}", path.display(), Advised(cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file of the user's own is not there.
    #[error(
        "{path}: file not found; a data set of your own lies there, below the folder of the data sets (`--datasets`), or \
         `dataset.file` is an absolute path",
        path = path.display()
    )]
    NoSuchFile {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file of the user's own that makes no data set.
    #[error("{path}: {cause}", path = path.display())]
    Own {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// A file with other content than expected.
    #[error("{path}: {cause}; remove the file and get it again with `hil data fetch`", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Box<dyn Error + Send + Sync>,
    },
}

/// Loads both parts of a data set from its folder below `datasets`.
///
/// `seed` decides the split of data sets that come unsplit; the others come as they are. [`FileName::find`] says
/// under which names files are found.
///
/// # Errors
/// If a file is missing, unreadable or has other content than expected.
pub fn load(dataset: &Chosen<dyn Source>, datasets: &Path, seed: u64) -> Result<Split, DataError> {
    dataset.load(&Folder::of(dataset, datasets), seed)
}

/// Loads the test part alone, which is all that an aggregator needs.
///
/// # Errors
/// As [`load()`].
pub fn load_test(dataset: &Chosen<dyn Source>, datasets: &Path, seed: u64) -> Result<Dataset, DataError> {
    dataset.load_test(&Folder::of(dataset, datasets), seed)
}

/// The folder of a data set.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    /// The name of the data set.
    dataset: String,
    files: Vec<FileName>,
}

impl Folder {
    fn of(dataset: &Chosen<dyn Source>, datasets: &Path) -> Self {
        let path = datasets.join(dataset.spec().folder);
        Folder { dataset: dataset.name().to_owned(), files: dataset.files_in(&path), path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files of the data set there.
    pub fn files(&self) -> &[FileName] {
        &self.files
    }

    /// What `parse` makes of the content of `file`, one of [`Folder::files`].
    ///
    /// # Errors
    /// If the file is not there or cannot be read, and with its name what `parse` finds wrong with it.
    pub fn read<T, E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        file: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T, DataError> {
        let path = self.find(file)?;
        match fs::read(&path) {
            Ok(bytes) => parse(&bytes).map_err(|cause| unfit(path, cause.into())),
            Err(cause) => Err(DataError::Unreadable { path, cause }),
        }
    }

    /// What `parse` makes of the content of `file`, which it is given unpacked and as it is read.
    ///
    /// # Errors
    /// As [`Folder::read`].
    pub fn stream<T>(
        &self,
        file: &str,
        parse: impl FnOnce(&mut dyn BufRead) -> Result<T, Box<dyn Error + Send + Sync>>,
    ) -> Result<T, DataError> {
        let path = self.find(file)?;
        match gzip::open(&path) {
            Ok(mut reader) => parse(&mut *reader).map_err(|cause| unfit(path, cause)),
            Err(cause) => Err(DataError::Unreadable { path, cause }),
        }
    }

    /// That `file` is not there.
    pub fn missing(&self, file: &str) -> DataError {
        DataError::Missing { path: self.path.join(file), dataset: self.dataset.clone() }
    }

    fn find(&self, file: &str) -> Result<PathBuf, DataError> {
        let known = self.files.iter().find(|known| known.name == file);
        known.and_then(|known| known.find(&self.path)).ok_or_else(|| self.missing(file))
    }
}

/// What is wrong with the content of the file `path`.
fn unfit(path: PathBuf, cause: Box<dyn Error + Send + Sync>) -> DataError {
    let first: &(dyn Error + 'static) = &*cause;
    let mut causes =
        iter::successors(Some(first), |&cause| cause.source()).filter_map(|cause| cause.downcast_ref());
    if causes.any(|cause: &io::Error| cause.kind() == io::ErrorKind::OutOfMemory) {
        // Nothing is wrong with the file.
        return DataError::Unreadable { path, cause: io::ErrorKind::OutOfMemory.into() };
    }
    DataError::Content { path, cause }
}

#[cfg(test)]
mod tests {
    use formats::IdxError;

    use super::*;
    use crate::data::TableError;

    #[test]
    fn a_file_for_which_there_is_no_memory_is_not_called_damaged() {
        let no_memory = || io::Error::from(io::ErrorKind::OutOfMemory);
        let errors: [Box<dyn Error + Send + Sync>; 2] =
            [IdxError::from(no_memory()).into(), TableError::line(1, TableError::Gzip(no_memory())).into()];
        for error in errors {
            let said = unfit("pictures".into(), error).to_string();
            assert!(said.contains("ulimit -v") && !said.contains("remove the file"), "{said}");
        }
    }
}
