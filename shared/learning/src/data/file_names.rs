//! The names by which the files of a data set are found.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// What it is called here.
    pub name: Cow<'static, str>,
    /// What others who give it away call it.
    pub others: &'static [&'static str],
}

impl FileName {
    /// Where it is in `folder`, if it is there. Whoever asks whether a data set is there asks this.
    ///
    /// It may be gzipped, and is then preferred; it may have another name under which it is about, and may lie in a folder
    /// of its name, as some programs unpack it.
    pub fn find(&self, folder: &Path) -> Option<PathBuf> {
        let names = self.spellings();
        let here = names.iter().map(|name| folder.join(name));
        let inside =
            names.iter().flat_map(|outer| names.iter().map(move |inner| folder.join(outer).join(inner)));
        here.chain(inside).flat_map(|path| [gzipped(&path), path]).find(|path| is_there(path))
    }

    /// Whether `entry`, a name in the folder of a data set, is one under which it is found.
    pub fn is_called(&self, entry: &str) -> bool {
        self.spellings().iter().any(|name| entry.strip_suffix(".gz").unwrap_or(entry) == name)
    }

    fn spellings(&self) -> Vec<String> {
        let mut names = vec![self.name.clone().into_owned()];
        names.extend(self.others.iter().map(|&name| name.to_owned()));
        // As the gzipped files of MNIST remember their names, which 7-zip and Kaggle bring back.
        names.extend(self.name.contains("-idx").then(|| self.name.replace("-idx", ".idx")));
        names
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<N: Into<Cow<'static, str>>> From<N> for FileName {
    fn from(name: N) -> Self {
        FileName { name: name.into(), others: &[] }
    }
}

fn gzipped(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// What cannot be looked at counts: reading it says why.
fn is_there(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => metadata.is_file(),
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_every_name_and_the_first_that_is_there_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = FileName::from("t10k-images-idx3-ubyte");
        assert_eq!(file.find(folder.path()), None);
        for name in [
            "t10k-images.idx3-ubyte/t10k-images.idx3-ubyte",
            "t10k-images-idx3-ubyte/t10k-images.idx3-ubyte",
            "t10k-images-idx3-ubyte/t10k-images-idx3-ubyte",
            "t10k-images-idx3-ubyte/t10k-images-idx3-ubyte.gz",
            "t10k-images.idx3-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            assert_eq!(file.find(folder.path()), Some(path));
        }
        assert!(file.is_called("t10k-images.idx3-ubyte.gz") && !file.is_called("train-images-idx3-ubyte"));
    }
}
