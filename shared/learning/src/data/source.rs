//! The trait of data sets.

use std::fmt::Debug;
use std::path::Path;

use input::unfit::Unfit;

use super::{DataError, Dataset, FileName, Folder, OnDevices, Split};

/// A data set: what is known of it before it is read, and how its files are read.
pub trait Source: Debug + Send + Sync {
    /// Its shape, its size and its files.
    fn spec(&self) -> Spec;

    /// Its files in `folder`, its own or another one that holds them; by default those of the spec. A data set in as many files as
    /// whoever made them has made says here which these are, and those of the spec where there is none.
    fn files_in(&self, _folder: &Path) -> Vec<FileName> {
        self.spec().files
    }

    /// Finds out in its files below `datasets` what [`Source::spec`] has to know and the settings do not say; by default they say
    /// all of it.
    ///
    /// # Errors
    /// As [`Source::load`].
    fn describe(&mut self, _datasets: &Path) -> Result<(), DataError> {
        Ok(())
    }

    /// Whether the settings make sense, and say all that is to be known before files are read.
    ///
    /// # Errors
    /// The dotted key that is wrong, and what would be right.
    fn check(&self) -> Result<(), Unfit> {
        Ok(())
    }

    /// Whether training and test examples come apart; of other data sets the seed decides which are which.
    fn comes_split(&self) -> bool {
        false
    }

    /// Reads both parts from `folder`; examples and classes must be those of [`Source::spec`].
    ///
    /// # Errors
    /// If a file is missing, unreadable or has other content than expected.
    fn load(&self, folder: &Folder, seed: u64) -> Result<Split, DataError>;

    /// Reads the test part alone, which is all that an aggregator needs.
    ///
    /// # Errors
    /// As [`Source::load`].
    fn load_test(&self, folder: &Folder, seed: u64) -> Result<Dataset, DataError> {
        Ok(self.load(folder, seed)?.test)
    }

    /// What is known of the training examples, if they lie on the devices, each of which brings its own.
    fn on_devices(&self) -> Option<&OnDevices> {
        None
    }

    /// Where it comes from, if it is published.
    fn published(&self) -> Option<Published> {
        None
    }
}

/// What is known of a data set before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Shape of one example.
    pub shape: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// The most examples that either part of the split may have.
    pub max_examples: usize,
    /// Its folder below the data sets directory.
    pub folder: String,
    /// Its files in the folder.
    pub files: Vec<FileName>,
}

/// What is known of a data set as it is published.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its licence.
    pub licence: &'static str,
    /// The page of its authors.
    pub origin: &'static str,
    /// About how large its files are.
    pub size: &'static str,
    /// Where its files can be downloaded from.
    pub mirror: Mirror,
    /// SHA-256 in hexadecimal of each file's content after decompression, as the files stand in [`Spec::files`]; empty
    /// where it is not known.
    pub content: Vec<&'static str>,
    /// SHA-256 in hexadecimal of each file as it is downloaded; empty where it is not known.
    pub download: Vec<&'static str>,
}

/// Whether files can be downloaded without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// Each file is at this address, a slash, and its name with `.gz`.
    Url(&'static str),
    /// They cannot; how to get them.
    ByHand(&'static str),
}
