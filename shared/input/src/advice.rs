//! What to do about an error of the operating system, where the error says it.

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Prints an error, and what to do about it: `No space left on device (os error 28); check that the disk has room`.
#[derive(Clone, Copy, Debug)]
pub struct Advised<'a>(pub &'a io::Error);

impl fmt::Display for Advised<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, advice(self.0))
    }
}

/// What follows the words of an error, from the semicolon on; nothing where it says no more than they do.
pub fn advice(error: &io::Error) -> String {
    // The standard library says so of memory of its own, without a number.
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    let errno = if error.kind() == io::ErrorKind::OutOfMemory { Some(Errno::NOMEM) } else { number };
    let advice = match errno {
        Some(Errno::NOSPC | Errno::DQUOT) => "check that the disk has room".to_owned(),
        Some(Errno::ACCESS | Errno::PERM) => "check whose it is, and what its permissions allow".to_owned(),
        Some(Errno::ROFS) => {
            "that file system is mounted read-only: name a place that can be written".to_owned()
        }
        Some(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NAMETOOLONG | Errno::LOOP) => {
            "check the path".to_owned()
        }
        Some(Errno::EXIST) => "something else has that name: remove it, or name another place".to_owned(),
        Some(Errno::IO) => "the disk or card may be failing: dmesg says more".to_owned(),
        Some(Errno::MFILE) => format!(
            "a process may have {} files open here: raise that limit (ulimit -n)",
            limit(Resource::Nofile, 1)
        ),
        Some(Errno::NFILE) => "the whole machine has too many files open: end other programs".to_owned(),
        Some(Errno::FBIG) => format!(
            "a file may have {} KiB here: raise that limit (ulimit -f), or choose another file system",
            limit(Resource::Fsize, 1024)
        ),
        Some(Errno::NOMEM) => format!(
            "this process may have {} KiB of memory: raise that limit (ulimit -v), or end other programs",
            limit(Resource::As, 1024)
        ),
        _ => return String::new(),
    };
    format!("; {advice}")
}

/// What to do if a process or a thread cannot be started for this error.
pub fn advice_on_starting(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        // The C library says so, too, if there is no memory for a thread's stack.
        Some(Errno::AGAIN) if getrlimit(Resource::As).current.is_some() => format!(
            "; this user may have {} processes and threads (ulimit -u), and this process {} KiB of memory (ulimit -v): \
             raise these limits",
            limit(Resource::Nproc, 1),
            limit(Resource::As, 1024)
        ),
        Some(Errno::AGAIN) => format!(
            "; this user may have {} processes and threads: raise that limit (ulimit -u), or end other programs",
            limit(Resource::Nproc, 1)
        ),
        Some(Errno::NOENT) => "; is it installed?".to_owned(),
        _ => advice(error),
    }
}

/// This process's limit on something, in units of `unit`.
fn limit(resource: Resource, unit: u64) -> String {
    getrlimit(resource).current.map_or_else(|| "any number of".to_owned(), |limit| (limit / unit).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(errno: Errno) -> String {
        Advised(&errno.into()).to_string()
    }

    #[test]
    fn only_a_full_disk_and_a_used_up_quota_want_room() {
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            assert!(said(errno).contains("check that the disk has room"), "{}", said(errno));
        }
        for errno in [
            Errno::ACCESS,
            Errno::ROFS,
            Errno::NOENT,
            Errno::ISDIR,
            Errno::IO,
            Errno::MFILE,
            Errno::NFILE,
            Errno::FBIG,
            Errno::NOMEM,
            Errno::AGAIN,
            Errno::PIPE,
        ] {
            assert!(!said(errno).contains("room"), "{}", said(errno));
        }
    }

    #[test]
    fn a_limit_is_said_with_its_number_and_how_to_raise_it() {
        let files = getrlimit(Resource::Nofile).current.unwrap();
        assert!(said(Errno::MFILE).contains(&format!("{files} files")), "{}", said(Errno::MFILE));
        assert!(said(Errno::MFILE).contains("ulimit -n"));
        assert!(Advised(&io::ErrorKind::OutOfMemory.into()).to_string().contains("ulimit -v"));
        let starting = advice_on_starting(&Errno::AGAIN.into());
        assert!(starting.contains("ulimit -u"), "{starting}");
    }

    #[test]
    fn errors_of_other_origin_are_left_as_they_are() {
        assert_eq!(Advised(&io::Error::other("torn")).to_string(), "torn");
    }
}
