//! Reading and replacing files that others may have put there: no link is followed, nothing is waited for or cut short.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RecordError;

/// Opens the file at `path` as `options` say; never through a link, and without waiting for whoever is at the other end
/// of a pipe.
///
/// # Errors
/// [`RecordError::NotAFile`] for anything but a file, or [`RecordError::Io`].
pub fn open_file(path: &Path, options: &OpenOptions) -> Result<File, RecordError> {
    let mut options = options.clone();
    let opened = options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()).open(path);
    // What is open is looked at, and not what has its name meanwhile.
    let checked = opened.and_then(|file| Ok((file.metadata()?.is_file(), file)));
    match checked {
        Ok((true, file)) => Ok(file),
        Ok((false, _)) => Err(not_a_file(path)),
        Err(error) => match refuse_no_file(path) {
            Err(refused @ RecordError::NotAFile { .. }) => Err(refused),
            _ => Err(RecordError::io("open", path)(error)),
        },
    }
}

/// Refuses what is at `path` unless it is a file, or nothing.
pub(super) fn refuse_no_file(path: &Path) -> Result<(), RecordError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(not_a_file(path)),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(RecordError::io("look at", path)(error)),
        _ => Ok(()),
    }
}

fn not_a_file(path: &Path) -> RecordError {
    let what = match fs::symlink_metadata(path).map(|found| found.file_type()) {
        Ok(kind) if kind.is_symlink() => "a symbolic link",
        Ok(kind) if kind.is_dir() => "a directory",
        Ok(kind) if kind.is_fifo() => "a pipe",
        Ok(kind) if kind.is_socket() => "a socket",
        _ => "a device",
    };
    RecordError::NotAFile { path: path.to_owned(), what }
}

/// The content of the file at `path`; `None` if there is nothing.
///
/// # Errors
/// As [`open_file`].
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, RecordError> {
    let file = missing_is_none(open_file(path, OpenOptions::new().read(true)))?;
    let Some(mut file) = file else { return Ok(None) };
    let mut content = Vec::new();
    file.read_to_end(&mut content).map_err(RecordError::io("read", path))?;
    Ok(Some(content))
}

/// What was opened; `None` where there was nothing to open.
pub(super) fn missing_is_none(opened: Result<File, RecordError>) -> Result<Option<File>, RecordError> {
    match opened {
        Err(RecordError::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// The content of a file that must be there.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, RecordError> {
    read_if_there(path)?.ok_or_else(|| RecordError::Missing { path: path.to_owned() })
}

/// Replaces the file at `path`: whoever reads it, also after a power failure, sees the old content or the new.
/// The temporary file beside it has the name with `.tmp` added, so that there must be one writer at a time.
///
/// # Errors
/// [`RecordError::Io`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    write_atomically_as(path, bytes, 0o666)
}

/// As [`write_atomically`], with the permissions `mode`, less those that the process gives nobody. Who may not read the
/// file may not do so while it is being written either.
///
/// # Errors
/// [`RecordError::Io`].
pub fn write_atomically_as(path: &Path, bytes: &[u8], mode: u32) -> Result<(), RecordError> {
    replace(path, mode, |file| file.write_all(bytes))
}

/// Replaces the file at `to` by a copy of the file at `from`, as [`write_atomically`] does.
///
/// # Errors
/// As [`open_file`] for `from`, or [`RecordError::Io`].
pub fn copy_file(from: &Path, to: &Path) -> Result<(), RecordError> {
    let mut source = open_file(from, OpenOptions::new().read(true))?;
    replace(to, 0o666, |file| io::copy(&mut source, file).map(drop))
}

fn replace(
    path: &Path,
    mode: u32,
    write_into: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), RecordError> {
    input::files::replace(path, mode, write_into).map_err(RecordError::io("write", path))
}

/// Makes the folder `path`, whose parent is there, unless it is there already.
///
/// # Errors
/// [`RecordError::Io`], also if something else has its name, a link to a folder too.
pub fn make_folder(path: &Path) -> Result<(), RecordError> {
    match DirBuilder::new().create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
            if is_folder { Ok(()) } else { Err(RecordError::io("create the folder", path)(error)) }
        }
        made => made.map_err(RecordError::io("create the folder", path)),
    }
}

pub(super) fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T, RecordError> {
    serde_json::from_slice(json).map_err(|error| RecordError::damaged(path, error.to_string()))
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), RecordError> {
    let mut json = serde_json::to_vec_pretty(value).map_err(encoding(path))?;
    json.push(b'\n');
    write_atomically(path, &json)
}

pub(super) fn encoding(path: &Path) -> impl FnOnce(serde_json::Error) -> RecordError {
    let io = RecordError::io("encode", path);
    move |error| io(error.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_files_are_opened_and_what_else_is_there_is_named_at_once() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::write(at("file"), "kept").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        let odd = [
            ("link", "a symbolic link"),
            ("dangling", "a symbolic link"),
            ("folder", "a directory"),
            ("pipe", "a pipe"),
            ("socket", "a socket"),
        ];
        for (name, what) in odd {
            let ways =
                [OpenOptions::new().read(true).clone(), OpenOptions::new().write(true).create(true).clone()];
            for options in ways {
                let error = open_file(&at(name), &options).unwrap_err().to_string();
                assert!(error.contains(name) && error.contains(what), "{error}");
            }
        }
        assert!(
            open_file(Path::new("/dev/null"), OpenOptions::new().read(true))
                .unwrap_err()
                .to_string()
                .contains("a device")
        );
        assert!(!at("nowhere").exists());
        assert_eq!(read_if_there(&at("file")).unwrap().unwrap(), b"kept");
        assert_eq!(read_if_there(&at("nowhere")).unwrap(), None);
    }

    #[test]
    fn a_file_is_replaced_and_what_a_link_of_its_name_or_beside_it_points_to_is_not() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::write(at("thesis"), "kept").unwrap();
        symlink(at("thesis"), at("report.html")).unwrap();
        symlink(at("thesis"), at("report.html.tmp")).unwrap();
        write_atomically(&at("report.html"), b"new").unwrap();
        assert_eq!(fs::read(at("thesis")).unwrap(), b"kept");
        assert!(fs::symlink_metadata(at("report.html")).unwrap().is_file());
        copy_file(&at("report.html"), &at("copy")).unwrap();
        assert_eq!(fs::read(at("copy")).unwrap(), b"new");
        symlink(home.path(), at("logs")).unwrap();
        assert!(make_folder(&at("logs")).is_err());
        make_folder(&at("folder")).and_then(|()| make_folder(&at("folder"))).unwrap();
    }
}
