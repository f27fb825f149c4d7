//! What this program starts: with which environment, and how none of it outlives this program.
//!
//! # Layout
//! - this file: [`command`], the one way to a [`Command`] of this package.
//! - `orphans.rs`: [`Watcher`], which ends what is left when this program is killed.

mod orphans;

use std::ffi::OsStr;
use std::io;
use std::process::Command;

use input::advice::advice_on_starting;

pub use orphans::{Watcher, end_orphans};

/// Beginnings of variables that mean this program, not what it starts: settings of the toolkit's programs, which would
/// beat what the bench writes into their files; candle's, which change how a client computes; and those of a supervisor
/// that waits for this process alone.
const OURS: [&str; 4] = ["OUTPOST_", "CANDLE_", "NOTIFY_SOCKET", "WATCHDOG_"];

/// Of these, what is passed on all the same: it changes no result.
const HANDED_ON: [&str; 2] = ["OUTPOST_LOG", "OUTPOST_AGGREGATOR_DEVICE"];

/// Beginnings of variables by which `cargo run` tells a program what it is. An inner cargo would hand them on to build
/// scripts, of which some watch them (ring's does), and everything above would be built again at each change between the
/// two. Settings of the user's, such as `CARGO_HOME` and `CARGO_TARGET_DIR`, are none of them.
const OF_CARGO_RUN: [&str; 8] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_RUSTC_CURRENT_DIR",
    "CARGO_TARGET_TMPDIR",
    "OUT_DIR",
];

/// The variable that marks what this program has started, and what that starts.
const MARK: &str = "OUTPOST_STARTED_BY";

/// A command that starts `program` with this process's environment, but for what means this process alone.
#[expect(clippy::disallowed_methods, reason = "this is what is to be used instead")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if !is_handed_on(&name) {
            command.env_remove(name);
        }
    }
    command.env(MARK, orphans::mark());
    command
}

/// As [`command`]; what it starts may stay when this program has ended, as a board does that was switched on.
pub(crate) fn command_for_what_stays(program: impl AsRef<OsStr>) -> Command {
    let mut command = command(program);
    command.env_remove(MARK);
    command
}

/// A program that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}: {cause}{}", advice_on_starting(cause))]
pub struct NotStarted {
    program: String,
    cause: io::Error,
}

impl NotStarted {
    /// For `map_err`: names the program of `command`.
    pub(crate) fn of(command: &Command) -> impl FnOnce(io::Error) -> Self {
        let program = command.get_program().display().to_string();
        move |cause| NotStarted { program, cause }
    }
}

fn is_handed_on(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    let begins =
        |beginnings: &[&str]| beginnings.iter().any(|beginning| bytes.starts_with(beginning.as_bytes()));
    HANDED_ON.iter().any(|kept| name == *kept) || !begins(&OURS) && !begins(&OF_CARGO_RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_gets_the_users_settings_and_none_of_this_programs() {
        let kept = "PATH HOME SSH_AUTH_SOCK RAYON_NUM_THREADS OUTPOST_LOG OUTPOST_AGGREGATOR_DEVICE \
                CARGO CARGO_HOME CARGO_TARGET_DIR CARGO_NET_OFFLINE CARGO_REGISTRIES_MINE_INDEX \
                CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER RUSTFLAGS";
        for kept in kept.split(' ') {
            assert!(is_handed_on(kept.as_ref()), "{kept} is the user's");
        }
        let dropped = "OUTPOST_TOPIC_PREFIX OUTPOST_BROKER OUTPOST_LOGS CANDLE_GRAD_DO_NOT_DETACH \
                NOTIFY_SOCKET WATCHDOG_USEC CARGO_MANIFEST_DIR CARGO_MANIFEST_PATH CARGO_PKG_NAME \
                CARGO_PKG_VERSION_PRE CARGO_BIN_NAME CARGO_CRATE_NAME CARGO_PRIMARY_PACKAGE OUT_DIR";
        for dropped in dropped.split(' ') {
            assert!(!is_handed_on(dropped.as_ref()), "{dropped} is this program's");
        }
    }

    #[test]
    fn a_command_lacks_what_cargo_tells_this_test() {
        // Tests have these from cargo, as `cargo run` gives them to hil.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let output = command("env").output().unwrap();
        let environment = String::from_utf8_lossy(&output.stdout);
        assert!(environment.lines().any(|line| line.starts_with(MARK)), "{environment}");
        for line in environment.lines() {
            assert!(!line.starts_with("CARGO_PKG_") && !line.starts_with("CARGO_MANIFEST_"), "{line}");
        }
    }
}
