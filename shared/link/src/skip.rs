//! Tests that need what a machine may lack: a program, a client for another processor, a right.

use std::fmt::Display;
use std::io::{Write as _, stderr};
use std::process::Command;

/// Names, with commas between them, of what a test must not do without.
const REQUIRE: &str = "OUTPOST_REQUIRE";

/// Reports that the calling test is skipped because `need` is missing, in a line that `cargo test` shows although the test then
/// passes; `.ci/run` counts these lines.
///
/// # Panics
/// If `OUTPOST_REQUIRE` names `need`: then it is no reason to skip a test.
pub fn skipped(need: &str, reason: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let required = std::env::var(REQUIRE).unwrap_or_default();
    assert!(!names(&required, need), "{REQUIRE} names {need}: {reason}");
    // Not `eprintln!`: what that prints is shown only where a test fails. If nobody can read it, nothing is lost.
    let _ = writeln!(stderr(), "skipped: {test}: {need}: {reason}");
}

/// Whether `program` is installed. Where it is not, the calling test is [`skipped`].
pub fn has(program: &str) -> bool {
    let installed = Command::new(program).arg("--help").output().is_ok();
    if !installed {
        skipped(program, "it is not installed");
    }
    installed
}

fn names(list: &str, need: &str) -> bool {
    list.split(',').any(|name| name.trim() == need)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_named_as_a_whole() {
        assert!(names("mosquitto, sshd", "sshd") && names("sshd", "sshd"));
        assert!(!names("mosquitto_pub", "mosquitto") && !names("", "sshd"));
    }

    #[test]
    fn a_program_that_is_installed_skips_nothing() {
        assert!(has("cargo"));
    }
}
