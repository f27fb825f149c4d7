//! Boards made of files, for the tests of this module.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Sources;

/// The sources of a board whose files lie in `folder`.
pub(super) fn sources(folder: &Path) -> Sources {
    Sources {
        process: folder.join("status"),
        thermal: folder.join("thermal"),
        clock: folder.join("clock"),
        throttled: folder.join("get_throttled"),
        firmware: folder.join("vcgencmd"),
    }
}

/// Puts `content` where `name` says, below `folder`.
pub(super) fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// A program that notes each call in a file beside it, and then does as the shell commands `body` say.
pub(super) fn program(folder: &Path, body: &str) -> PathBuf {
    let path = folder.join("vcgencmd");
    // Written by a shell: what another test's child inherits open for writing cannot be run.
    let write = ["-c", "cat > \"$0\" && chmod +x \"$0\""];
    let mut shell = Command::new("sh").args(write).arg(&path).stdin(Stdio::piped()).spawn().unwrap();
    let calls = folder.join("calls");
    write!(shell.stdin.take().unwrap(), "#!/bin/sh\necho \"$1\" >> '{}'\n{body}\n", calls.display()).unwrap();
    assert!(shell.wait().unwrap().success());
    path
}

/// How often that program was called.
pub(super) fn calls(folder: &Path) -> usize {
    fs::read_to_string(folder.join("calls")).map_or(0, |calls| calls.lines().count())
}
