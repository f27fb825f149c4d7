//! The names by which the files of a data set are found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file of `folder` that is to be read as `file`, one of [`Spec::files`](super::Spec::files); `None` if there is
/// none. Whoever asks whether a data set is there asks this.
///
/// A file may be gzipped, and is then preferred; it may have another name under which it is about, and may lie in a
/// folder of its name, as some programs unpack it.
pub fn find_file(folder: &Path, file: &str) -> Option<PathBuf> {
    let names = spellings(file);
    let here = names.iter().map(|name| folder.join(name));
    let inside = names.iter().flat_map(|outer| names.iter().map(move |inner| folder.join(outer).join(inner)));
    here.chain(inside).flat_map(|path| [gzipped(&path), path]).find(|path| is_there(path))
}

/// Whether `entry`, a name in the folder of a data set, is one under which `file` is found.
pub fn is_name_of(entry: &str, file: &str) -> bool {
    spellings(file).iter().any(|name| entry.strip_suffix(".gz").unwrap_or(entry) == name)
}

/// `file`, and what others call it.
fn spellings(file: &str) -> Vec<String> {
    let others: &[&str] = match file {
        // The machine learning repository of the University of California; Kaggle.
        "wdbc.csv" => &["wdbc.data", "data.csv"],
        _ => &[],
    };
    let mut names = vec![file.to_owned()];
    names.extend(others.iter().map(|&name| name.to_owned()));
    // As the gzipped files of MNIST remember their names, which 7-zip and Kaggle bring back.
    names.extend(file.contains("-idx").then(|| file.replace("-idx", ".idx")));
    names
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
        let file = "t10k-images-idx3-ubyte";
        assert_eq!(find_file(folder.path(), file), None);
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
            assert_eq!(find_file(folder.path(), file), Some(path));
        }
        assert!(
            is_name_of("t10k-images.idx3-ubyte.gz", file) && !is_name_of("train-images-idx3-ubyte", file)
        );
    }
}
