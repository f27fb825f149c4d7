//! Tests that cannot run on this machine.

use std::io::Write as _;

/// Says that the calling test is skipped for want of what `reason` names, in a line that `cargo test` shows although the
/// test then passes; `.ci/run` counts these lines.
pub fn skipped(reason: impl std::fmt::Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not `eprintln!`: what that prints is shown only where a test fails. If nobody can read it, nothing is lost.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}
