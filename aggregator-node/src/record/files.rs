//! Reading, replacing and locking the files of a run directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RecordError;

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
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let write = || {
        // One that a crash has left may be open to others.
        if let Err(error) = fs::remove_file(&temporary)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename itself is durable once the directory is.
        match path.parent() {
            Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    };
    write().map_err(RecordError::io("write", path))
}

/// A program that another thread is just starting holds what this process had locked until it has begun.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Takes the lock `name` of the directory `path`. The operating system frees it with the file, also when the
/// process is killed.
pub(super) fn lock(path: &Path, name: &str) -> Result<File, RecordError> {
    let lock_path = path.join(name);
    let file = File::create(&lock_path).map_err(RecordError::io("create", &lock_path))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_PATIENCE / 100),
            Err(TryLockError::WouldBlock) => return Err(RecordError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(RecordError::io("lock", &lock_path)(error)),
        }
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, RecordError> {
    fs::read(path).map_err(RecordError::io("read", path))
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
