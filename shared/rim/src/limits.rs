//! Limits of the operating system, at the start of a process: raised where that is allowed, named where they are too low.

use std::io;
use std::num::NonZero;
use std::sync::RwLock;
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shared::advice::advice_on_starting;

/// Open files that are enough for any fleet here. More would slow programs down that close all that they might have.
const FILES: u64 = 65_536;

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
