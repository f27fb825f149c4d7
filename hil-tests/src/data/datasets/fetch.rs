//! Getting one data set.
//!
//! Files are collected in a folder of their own and checked there as loading would read them; only then that folder replaces
//! the data set's: the whole set appears at once, or not at all. If the rest fails, what was downloaded stays and is not
//! downloaded again. Of two processes that fetch into the same folder, one waits for the other.

use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use input::advice::Advised;
use input::chosen::Chosen;
use learning::data::{DataError, FileName, Mirror, Published, Source, load};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use wire::identity::Digest;

use super::download::{DownloadError, download};
use super::folder;

/// No file of a data set is larger after decompression, in bytes.
const MAX_CONTENT: u64 = 1 << 28;

/// Where to get the files from.
#[derive(Clone, Debug)]
pub enum FetchFrom {
    /// The mirror that is known.
    Mirror,
    /// Another address: each file is at it, a slash, and the file's name with `.gz`.
    Url(String),
    /// A folder that holds the files, as loading would find them; or the file itself of a data set that has but one.
    Path(PathBuf),
}

/// Why a data set could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It cannot be downloaded.
    #[error("{name} cannot be downloaded: {how}")]
    ByHand {
        /// The data set.
        name: String,
        /// How else to get it.
        how: &'static str,
    },
    /// The given folder lacks a file.
    #[error("{path}: there is no {file}, gzipped or plain; give the folder that holds the files of {name}", path = path.display())]
    NotThere {
        /// The folder.
        path: PathBuf,
        /// The file it lacks.
        file: String,
        /// The data set.
        name: String,
    },
    /// A single file was given for a data set of several.
    #[error("{path}: is one file, but {name} has {count}; give the folder that holds them", path = path.display())]
    OneFile {
        /// What was given.
        path: PathBuf,
        /// The data set.
        name: String,
        /// Number of its files.
        count: usize,
    },
    /// A file could not be downloaded.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// A file is not the published one.
    #[error("{url}: SHA-256 is {actual}, not {expected}: not the published file; try another --url")]
    Digest {
        /// Where it is from.
        url: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        actual: String,
    },
    /// A file that makes no data set with the others.
    #[error("{origin}: {cause}; have another one in its place")]
    Unfit {
        /// Where it is from.
        origin: String,
        /// What is wrong with it.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The files make no data set.
    #[error(transparent)]
    Data(DataError),
    /// The system refused something.
    #[error("{path}: cannot {what}: {}", Advised(source), path = path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What is known of a data set whose file says nothing of where it comes from.
const UNPUBLISHED: Published = Published {
    licence: "-",
    origin: "-",
    size: "-",
    mirror: Mirror::ByHand("nothing is known of where it is published; give its files to --from"),
    content: Vec::new(),
    download: Vec::new(),
};

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The file, where it now is.
    pub path: PathBuf,
    /// SHA-256 of its content after decompression.
    pub digest: Digest,
    /// Whether that is the published one, where it is known.
    pub as_published: Option<bool>,
}

/// Gets the files of `dataset` into their folder below `datasets`; those that are there are replaced.
///
/// A download must have the digests that are published; what the user supplies must only make a data set.
///
/// # Errors
/// If a file cannot be had, is not the published one, or does not make the data set with the others. Then
/// nothing has changed but for what is kept of downloads.
pub fn fetch(
    dataset: &Chosen<dyn Source>,
    from: &FetchFrom,
    datasets: &Path,
) -> Result<Vec<Fetched>, FetchError> {
    let name = dataset.name();
    let published = dataset.published().unwrap_or(UNPUBLISHED);
    let source = match (from, &published.mirror) {
        (FetchFrom::Path(from), _) => Err(from),
        (FetchFrom::Url(url), _) => Ok(url.as_str()),
        (FetchFrom::Mirror, Mirror::Url(url)) => Ok(*url),
        (FetchFrom::Mirror, &Mirror::ByHand(how)) => {
            return Err(FetchError::ByHand { name: name.to_owned(), how });
        }
    };
    fs::create_dir_all(datasets).map_err(failed("create the folder", datasets))?;
    let _lock = lock(datasets)?;
    // The folder may be a link to where there is room; then that is where everything happens.
    let target = folder(datasets, &**dataset);
    let target = fs::canonicalize(&target).unwrap_or(target);
    let home = target.parent().unwrap_or(datasets);
    // Two folders, because a download goes on with what an earlier one left, unchecked files never.
    let staging = home.join(format!(".{}-{name}", if source.is_ok() { "download" } else { "copy" }));
    let staged = folder(&staging, &**dataset);
    if source.is_err() {
        remove_folder(&staging)?;
    }
    fs::create_dir_all(&staged).map_err(failed("create the folder", &staged))?;
    let origins = match source {
        Ok(url) => download_all(&**dataset, &published, url, &staging)?,
        Err(from) => copy(dataset, from, &staged).inspect_err(|_| drop(remove_folder(&staging)))?,
    };
    // The seed decides the split, which does not matter here.
    let checked = load(dataset, &staging, 1);
    let fetched = match checked {
        Ok(_) => install(&**dataset, &published, &staged, &target),
        Err(error) => Err(unfit(error, origins)),
    };
    remove_folder(&staging)?;
    fetched
}

/// Where each file in the staging folder is from.
type Origins = Vec<(PathBuf, String)>;

/// The error, about the file as its owner knows it: the one in the staging folder is gone when it is read.
fn unfit(error: DataError, origins: Origins) -> FetchError {
    let DataError::Content { path, cause } = error else { return FetchError::Data(error) };
    let origin = origins.into_iter().find(|(staged, _)| *staged == path).map(|(_, origin)| origin);
    FetchError::Unfit { origin: origin.unwrap_or_else(|| path.display().to_string()), cause }
}

/// The right to change `datasets`, as long as the result is kept; where the file system knows no locks, nobody's.
fn lock(datasets: &Path) -> Result<File, FetchError> {
    let folder = File::open(datasets).map_err(failed("open the folder", datasets))?;
    if let Err(TryLockError::WouldBlock) = folder.try_lock() {
        link::complain(format_args!(
            "{}: another program fetches a data set; waiting for it",
            datasets.display()
        ));
        folder.lock().map_err(failed("lock the folder", datasets))?;
    }
    Ok(folder)
}

/// Copies each file of `from` to `staged`, under the name that says whether it is gzipped.
fn copy(dataset: &Chosen<dyn Source>, from: &Path, staged: &Path) -> Result<Origins, FetchError> {
    let mut origins = Vec::new();
    let files = dataset.files_in(from);
    let name = || dataset.name().to_owned();
    if !from.is_dir() && files.len() > 1 {
        return Err(FetchError::OneFile { path: from.to_owned(), name: name(), count: files.len() });
    }
    for file in files {
        let origin = if from.is_dir() {
            let missing =
                || FetchError::NotThere { path: from.to_owned(), file: file.to_string(), name: name() };
            file.find(from).ok_or_else(missing)?
        } else {
            from.to_owned()
        };
        let gzipped = is_gzip(&origin).map_err(failed("read the file", &origin))?;
        let copy = staged.join(if gzipped { format!("{file}.gz") } else { file.to_string() });
        let folder = copy.parent().unwrap_or(staged);
        fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
        fs::copy(&origin, &copy).map_err(failed("copy the file", &origin))?;
        origins.push((copy, origin.display().to_string()));
    }
    Ok(origins)
}

/// Downloads each file to `staging`, and moves it to its folder there once it is whole and the published one.
fn download_all(
    dataset: &dyn Source,
    published: &Published,
    base: &str,
    staging: &Path,
) -> Result<Origins, FetchError> {
    let mut origins = Vec::new();
    for (index, file) in dataset.spec().files.iter().enumerate() {
        let whole = folder(staging, dataset).join(format!("{file}.gz"));
        let url = format!("{}/{file}.gz", base.trim_end_matches('/'));
        origins.push((whole.clone(), url.clone()));
        if whole.is_file() {
            continue;
        }
        let partial = staging.join(format!("{file}.gz.part"));
        link::complain(&url);
        let resumed = download(&url, &partial)?;
        let mut checked = check(published, index, &url, &partial);
        if checked.is_err() && resumed {
            link::complain(format_args!(
                "{url}: changed since the download began; once more from the beginning"
            ));
            remove(&partial)?;
            download(&url, &partial)?;
            checked = check(published, index, &url, &partial);
        }
        if checked.is_err() {
            remove(&partial)?;
        }
        checked?;
        fs::rename(&partial, &whole).map_err(failed("rename the file", &partial))?;
    }
    Ok(origins)
}

/// Holds the digests of a downloaded file against the published ones, as far as these are known.
fn check(published: &Published, index: usize, url: &str, file: &Path) -> Result<(), FetchError> {
    let digests = [(&published.download, digest(file)), (&published.content, content_digest(file))];
    for (expected, actual) in digests {
        let Some(&expected) = expected.get(index) else { continue };
        let actual = actual.map_err(failed("read the file", file))?.to_string();
        if expected != actual {
            return Err(FetchError::Digest { url: url.to_owned(), expected, actual });
        }
    }
    Ok(())
}

/// Puts the folder `staged` in the place of `target`, which keeps what is not of the data set.
fn install(
    dataset: &dyn Source,
    published: &Published,
    staged: &Path,
    target: &Path,
) -> Result<Vec<Fetched>, FetchError> {
    let mut fetched = Vec::new();
    let mut files = dataset.files_in(staged);
    for (index, file) in files.iter().enumerate() {
        let Some(from) = file.find(staged) else { continue };
        File::open(&from).and_then(|file| file.sync_all()).map_err(failed("write the file", &from))?;
        let digest = content_digest(&from).map_err(failed("read the file", &from))?;
        let path = target.join(from.strip_prefix(staged).unwrap_or(Path::new(&*file.name)));
        let as_published = published.content.get(index).map(|expected| *expected == digest.to_string());
        fetched.push(Fetched { path, digest, as_published });
    }
    if !target.exists() {
        fs::rename(staged, target).map_err(failed("rename the folder", staged))?;
        return Ok(fetched);
    }
    // Now the older files are in `staged`.
    exchange(staged, target).map_err(failed("replace the folder", target))?;
    files.extend(dataset.files_in(staged));
    let is_in =
        |file: &FileName, folder: &str| file.name.split_once('/').is_some_and(|(first, _)| first == folder);
    let of_the_set = |entry: &str| files.iter().any(|file| file.is_called(entry) || is_in(file, entry));
    for entry in fs::read_dir(staged).map_err(failed("read the folder", staged))? {
        let entry = entry.map_err(failed("read the folder", staged))?;
        if entry.file_name().to_str().is_none_or(|entry| !of_the_set(entry)) {
            let from = entry.path();
            fs::rename(&from, target.join(entry.file_name())).map_err(failed("keep the file", &from))?;
        }
    }
    Ok(fetched)
}

/// Exchanges two folders at once; where the file system cannot, one after the other.
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    if renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    let aside = one.with_extension("old");
    fs::rename(other, &aside)?;
    fs::rename(one, other)?;
    fs::rename(&aside, one)
}

fn remove_folder(path: &Path) -> Result<(), FetchError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove the folder", path)(error))
        }
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove the file", path)(error)),
        _ => Ok(()),
    }
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::Io { what, path: path.clone(), source }
}

fn is_gzip(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    File::open(path)?.take(2).read_to_end(&mut magic)?;
    Ok(magic == [0x1f, 0x8b])
}

fn digest(path: &Path) -> io::Result<Digest> {
    read(File::open(path)?)
}

/// The digest of a file's content after decompression.
fn content_digest(path: &Path) -> io::Result<Digest> {
    let file = File::open(path)?;
    if is_gzip(path)? { read(MultiGzDecoder::new(file)) } else { read(file) }
}

fn read(reader: impl Read) -> io::Result<Digest> {
    let mut content = Vec::new();
    reader.take(MAX_CONTENT).read_to_end(&mut content)?;
    Ok(Digest::of(&content))
}
