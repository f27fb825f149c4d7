//! One writer at a time.
//!
//! The lock is the operating system's, which frees it with the process. Where a file system has no locks, as NFS may be
//! mounted, a separate file names the writer. It stays behind when its process is killed, and no longer counts once that
//! process is gone, which can be determined only for processes of this machine.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::RecordError;
use super::files::{missing_is_none, open_file, read_if_there};

/// Held by the process that writes the directory.
pub(super) const LOCK: &str = ".lock";
/// Says who that is, where there are no locks.
pub(super) const WRITER: &str = ".writer";

/// A program that another thread is just starting holds what this process had locked until it has begun.
const PATIENCE: Duration = Duration::from_secs(1);

/// The right to write a directory, while the value lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    /// Where there are no locks: the file that says who writes.
    writer: Option<PathBuf>,
}

impl Lock {
    /// Takes the lock of the directory `path`.
    pub(super) fn take(path: &Path) -> Result<Self, RecordError> {
        Lock::take_by(path, File::try_lock)
    }

    fn take_by(path: &Path, try_lock: fn(&File) -> Result<(), TryLockError>) -> Result<Self, RecordError> {
        let lock = path.join(LOCK);
        let file = open_file(&lock, OpenOptions::new().write(true).create(true).truncate(false))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match try_lock(&file) {
                Ok(()) => {
                    // Of a process that has mounted the same directory without locks.
                    let place = path.join(WRITER);
                    if !remove_if_gone(path, &place)? {
                        return Err(Writer::of(&place)?.map_or_else(|| locked(path), |it| it.holds(path)));
                    }
                    return Ok(Lock { _file: file, writer: None });
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(PATIENCE / 100),
                Err(TryLockError::WouldBlock) => return Err(locked(path)),
                Err(TryLockError::Error(error)) if knows_no_locks(&error) => {
                    let writer = Some(register(path, deadline)?);
                    return Ok(Lock { _file: file, writer });
                }
                Err(TryLockError::Error(error)) => return Err(RecordError::io("lock", &lock)(error)),
            }
        }
    }

    /// Makes sure that nobody has the lock of the directory `path`, as far as can be told from here. Nobody is kept waiting.
    ///
    /// # Errors
    /// [`RecordError::Locked`] or [`RecordError::LockedFrom`], or those of reading.
    pub(super) fn check_free(path: &Path) -> Result<(), RecordError> {
        if let Some(writer) = Writer::of(&path.join(WRITER))? {
            return if writer.is_gone() { Ok(()) } else { Err(writer.holds(path)) };
        }
        let file = missing_is_none(open_file(&path.join(LOCK), OpenOptions::new().read(true)))?;
        let Some(file) = file else { return Ok(()) };
        let deadline = Instant::now() + PATIENCE;
        while matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            if Instant::now() >= deadline {
                return Err(locked(path));
            }
            sleep(PATIENCE / 100);
        }
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            // Left behind, it names a process that is gone.
            let _ = fs::remove_file(writer);
        }
    }
}

fn locked(path: &Path) -> RecordError {
    RecordError::Locked { path: path.to_owned() }
}

fn knows_no_locks(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported || error.raw_os_error() == Some(Errno::NOLCK.raw_os_error())
}

/// Who writes a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Writer {
    /// The machine's name, and its id: names are given twice.
    host: String,
    machine: String,
    /// Which start of the machine.
    boot: String,
    /// The name space that its number is of.
    pid_namespace: String,
    pid: u32,
    /// When it was started, in ticks since the machine was: numbers are given again.
    started: Option<u64>,
}

impl Writer {
    /// This process.
    fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let pid = std::process::id();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Writer {
            host: read("/proc/sys/kernel/hostname"),
            machine: read("/etc/machine-id"),
            boot: read("/proc/sys/kernel/random/boot_id"),
            pid_namespace: namespace.display().to_string(),
            pid,
            started: started(pid),
        }
    }

    /// Whom the file at `path` names; `None` if there is none. One that says nothing yet is of somebody who just begins.
    fn of(path: &Path) -> Result<Option<Self>, RecordError> {
        let Some(json) = read_if_there(path)? else { return Ok(None) };
        let unknown = Writer {
            host: "an unknown machine".to_owned(),
            machine: String::new(),
            boot: String::new(),
            pid_namespace: String::new(),
            pid: 0,
            started: None,
        };
        Ok(Some(serde_json::from_slice(&json).unwrap_or(unknown)))
    }

    /// That it writes the directory `path`.
    fn holds(self, path: &Path) -> RecordError {
        let (path, file) = (path.to_owned(), path.join(WRITER));
        RecordError::LockedFrom { path, host: self.host, pid: self.pid, file }
    }

    /// Whether it was a process of this machine that has ended. Of others nobody here can tell.
    fn is_gone(&self) -> bool {
        let this = Writer::this();
        let same_start = !self.boot.is_empty() && self.boot == this.boot;
        // Containers often have no id of their machine.
        let same_name = (&self.host, &self.machine) == (&this.host, &this.machine);
        let here = same_name && (same_start || !self.machine.is_empty());
        let seen = same_start && self.pid_namespace == this.pid_namespace;
        here && (!same_start || seen && (started(self.pid).is_none() || started(self.pid) != self.started))
    }
}

/// When the process `pid` was started, if there is one that has not ended.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name, the second of all values, may hold anything. The third is its state, the 22nd its start.
    let mut values = stat.rsplit_once(')')?.1.split_whitespace();
    let has_ended = matches!(values.next()?, "Z" | "X");
    if has_ended { None } else { values.nth(18)?.parse().ok() }
}

/// Makes the file that says that this process writes the directory `path`.
fn register(path: &Path, deadline: Instant) -> Result<PathBuf, RecordError> {
    let place = path.join(WRITER);
    loop {
        match OpenOptions::new().write(true).create_new(true).open(&place) {
            Ok(mut file) => {
                let json = serde_json::to_vec(&Writer::this()).map_err(super::files::encoding(&place))?;
                let written = file.write_all(&json).and_then(|()| file.sync_all());
                return written.map(|()| place.clone()).map_err(RecordError::io("write", &place));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(RecordError::io("create", &place)(error)),
        }
        let removed = remove_if_gone(path, &place)?;
        if !removed && Instant::now() >= deadline {
            let Some(writer) = Writer::of(&place)? else { continue };
            return Err(writer.holds(path));
        }
        if !removed {
            sleep(PATIENCE / 100);
        }
    }
}

/// Removes the file of a writer that is gone; false if it is not. True as well where there is none.
#[cfg(target_os = "linux")]
fn remove_if_gone(path: &Path, place: &Path) -> Result<bool, RecordError> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};

    // One process of this machine at a time looks and removes: another might remove the file of the one that comes
    // after. The name is free again when the process ends, however it does.
    let directory = fs::metadata(path).map_err(RecordError::io("look at", path))?;
    let name = format!("outpost-writer-{}-{}", directory.dev(), directory.ino());
    let address = SocketAddr::from_abstract_name(name).map_err(RecordError::io("lock", path))?;
    if Writer::of(place)?.is_none() {
        return Ok(true);
    }
    let Ok(_alone) = UnixListener::bind_addr(&address) else { return Ok(false) };
    match Writer::of(place)? {
        Some(writer) if writer.is_gone() => {
            tracing::warn!("{} was left behind by process {}, which is gone", place.display(), writer.pid);
            fs::remove_file(place).map_err(RecordError::io("remove", place))?;
            Ok(true)
        }
        found => Ok(found.is_none()),
    }
}

/// What is gone cannot be told here.
#[cfg(not(target_os = "linux"))]
fn remove_if_gone(_: &Path, place: &Path) -> Result<bool, RecordError> {
    Ok(Writer::of(place)?.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_locks(_: &File) -> Result<(), TryLockError> {
        Err(TryLockError::Error(Errno::NOLCK.into()))
    }

    fn not_implemented(_: &File) -> Result<(), TryLockError> {
        Err(TryLockError::Error(Errno::NOSYS.into()))
    }

    /// A process that has ended.
    fn gone() -> Writer {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        Writer { pid: child.id(), started: Some(1), ..Writer::this() }
    }

    fn leave(home: &Path, writer: &Writer) {
        fs::write(home.join(WRITER), serde_json::to_vec(writer).unwrap()).unwrap();
    }

    #[test]
    fn where_there_are_no_locks_a_file_keeps_two_writers_apart() {
        let home = tempfile::tempdir().unwrap();
        for try_lock in [no_locks, not_implemented] {
            let first = Lock::take_by(home.path(), try_lock).unwrap();
            let held = Lock::check_free(home.path()).unwrap_err().to_string();
            assert!(held.contains(".writer"), "{held}");
            assert!(Lock::take(home.path()).is_err(), "that one has locks");
            let error = Lock::take_by(home.path(), try_lock).unwrap_err();
            assert!(matches!(&error, RecordError::LockedFrom { pid, .. } if *pid == std::process::id()));
            assert!(error.to_string().contains(".writer"), "{error}");
            drop(first);
            Lock::check_free(home.path()).unwrap();
            assert!(!home.path().join(WRITER).exists());
        }
    }

    #[test]
    fn a_writer_that_was_killed_or_lost_its_power_is_no_hindrance() {
        let home = tempfile::tempdir().unwrap();
        let started_anew = Writer { boot: "an earlier one".to_owned(), ..Writer::this() };
        let number_given_again = Writer { started: Some(1), ..Writer::this() };
        for writer in [gone(), started_anew, number_given_again] {
            if writer.machine.is_empty() && writer.boot != Writer::this().boot {
                continue; // nothing else tells this machine
            }
            leave(home.path(), &writer);
            Lock::check_free(home.path()).unwrap();
            drop(Lock::take_by(home.path(), no_locks).unwrap());
        }
    }

    #[test]
    fn a_writer_that_has_ended_and_that_nobody_has_asked_for_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while started(child.id()).is_some() {
            assert!(Instant::now() < deadline, "it does not end");
            sleep(Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert!(started(std::process::id()).is_some());
    }

    #[test]
    fn a_writer_that_cannot_be_seen_from_here_is_believed() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = Writer { host: "another".to_owned(), ..gone() };
        let of_that_name = Writer { machine: "another".to_owned(), ..gone() };
        let contained = Writer { pid_namespace: "another".to_owned(), ..gone() };
        for writer in [elsewhere, of_that_name, contained] {
            leave(home.path(), &writer);
            let error = Lock::take_by(home.path(), no_locks).unwrap_err().to_string();
            assert!(error.contains(&writer.pid.to_string()) && error.contains("remove"), "{error}");
            assert!(Lock::check_free(home.path()).is_err());
        }
        fs::write(home.path().join(WRITER), "").unwrap();
        assert!(Lock::take_by(home.path(), no_locks).is_err(), "somebody just begins");
    }

    #[test]
    fn of_many_that_find_a_writer_gone_one_takes_its_place() {
        let home = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            leave(home.path(), &gone());
            let taken = std::thread::scope(|scope| {
                let take = || register(home.path(), Instant::now() + Duration::from_millis(50)).is_ok();
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).filter(|taken| *taken).count()
            });
            assert_eq!(taken, 1);
            fs::remove_file(home.path().join(WRITER)).unwrap();
        }
    }
}
