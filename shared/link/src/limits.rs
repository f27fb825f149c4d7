//! Limits of the operating system, at the start of a process: raised where that is allowed, named where they are too low.

use std::io;
use std::num::NonZero;
use std::sync::RwLock;
use std::thread;

use input::advice::advice_on_starting;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Open files that are enough for any fleet here. More would slow programs down that close all that they might have.
const FILES: u64 = 65_536;

/// Open files without which a program cannot even begin: its sockets, its signals and what it reads.
const FEWEST_FILES: u64 = 32;

/// Too few files that a process may open.
#[derive(Debug, thiserror::Error)]
#[error(
    "a process may have {0} files open here, and this one needs {FEWEST_FILES}: raise that limit (ulimit -n)"
)]
pub struct TooFewFiles(u64);

/// Prepares this process for the operating system's limits: raises that on open files ([`raise_file_limit`]), and lets a
/// file that is as large as it may be (`ulimit -f`) be an error, and not the end.
///
/// # Errors
/// [`TooFewFiles`]: libraries panic where they cannot open what they need.
pub fn meet_limits() -> Result<(), TooFewFiles> {
    let files = raise_file_limit();
    if files < FEWEST_FILES {
        return Err(TooFewFiles(files));
    }
    // What is caught does not end the process, and is never waited for. Where it cannot be caught, nothing is lost.
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
        let _inside = runtime.enter();
        let _ = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()));
    }
    Ok(())
}

/// Raises this process's limit on open files as far as it may and as there is a use for, for itself and for what it
/// starts, and says what it is then. Shells and services begin with 1,024, which a thousand connections use up.
pub fn raise_file_limit() -> u64 {
    let Rlimit { current: Some(current), maximum } = getrlimit(Resource::Nofile) else { return u64::MAX };
    let wanted = current.max(maximum.unwrap_or(FILES).min(FILES));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => wanted,
        // What needs more files will say so.
        Err(_) => current,
    }
}

/// Threads that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {wanted} threads: {cause}{}", advice_on_starting(cause))]
pub struct NoThreads {
    wanted: usize,
    cause: io::Error,
}

/// Makes sure that this process can have `own` threads more, and one for each processor, which computes: libraries that
/// start some panic where they cannot.
///
/// # Errors
/// [`NoThreads`] names the limit.
pub fn check_threads(own: usize) -> Result<(), NoThreads> {
    let wanted = own + thread::available_parallelism().map_or(1, NonZero::get);
    let gate = RwLock::new(());
    let started = thread::scope(|scope| {
        // Until all are there, none passes.
        let closed = gate.write();
        let start = |_| thread::Builder::new().spawn_scoped(scope, || drop(gate.read())).map(drop);
        let started = (0..wanted).try_for_each(start);
        drop(closed);
        started
    });
    started.map_err(|cause| NoThreads { wanted, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_open_files_is_raised_and_never_lowered() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let raised = raise_file_limit();
        assert!(raised >= before);
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), raised);
        assert_eq!(raise_file_limit(), raised);
    }

    #[test]
    fn threads_that_can_be_had_are_no_error() {
        check_threads(30).unwrap();
    }
}
