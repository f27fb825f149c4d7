//! One file over HTTP, by the system's `curl`.
//!
//! An HTTP client with TLS in this program would take a minute of every cold build for a command that is run
//! once; `curl` comes with every system the bench runs on.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use input::advice::advice_on_starting;

use crate::system::children;

/// How often a transfer that breaks off is taken up again.
const ATTEMPTS: u32 = 5;
/// No file of a data set is larger, in bytes.
const MAX_SIZE: &str = "268435456";

/// curl's exit codes (curl(1), EXIT CODES).
const PARTIAL_FILE: i32 = 18;
const HTTP_ERROR: i32 = 22;
const TIMED_OUT: i32 = 28;
const NO_RANGES: i32 = 33;
const BAD_RESUME: i32 = 36;
const BROKEN_OFF: i32 = 56;

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// curl cannot be run.
    #[error("cannot run curl: {}{}; or get the files by hand and give them to --from", .0, advice_on_starting(.0))]
    Curl(io::Error),
    /// curl gave up.
    #[error("{url}: curl ended with {status}; run the same command to go on, or give another --url")]
    Transfer {
        /// What was to be downloaded.
        url: String,
        /// How curl ended; it has said why.
        status: ExitStatus,
    },
    /// What a broken transfer left cannot be removed.
    #[error("{path}: cannot be removed: {source}; remove it by hand", path = path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Downloads `url` to `target`, where an earlier transfer that broke off is taken up again, and says whether one
/// was: curl cannot tell whether the pieces are of the same file, and takes a server's "416 Range Not Satisfiable"
/// for the end. Shows a bar if standard error is a terminal.
///
/// # Errors
/// If curl is not there, or the file cannot be had whole. What has come of it stays in `target`.
pub fn download(url: &str, target: &Path) -> Result<bool, DownloadError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let resumed = target.metadata().is_ok_and(|file| file.len() > 0);
        let status = curl(url, target).status().map_err(DownloadError::Curl)?;
        match status.code() {
            Some(0) => return Ok(resumed),
            Some(PARTIAL_FILE | TIMED_OUT | BROKEN_OFF) if attempt < ATTEMPTS => {}
            // A server without ranges, or a file that has shrunk since: once more, from the beginning.
            Some(HTTP_ERROR | NO_RANGES | BAD_RESUME) if resumed && attempt < ATTEMPTS => {
                let failed = |source| DownloadError::Remove { path: target.to_owned(), source };
                fs::remove_file(target).map_err(failed)?;
            }
            _ => return Err(DownloadError::Transfer { url: url.to_owned(), status }),
        }
    }
}

fn curl(url: &str, target: &Path) -> Command {
    let mut curl = children::command("curl");
    // A user's curlrc could change what any of the following means.
    curl.args(["--disable", "--fail", "--location", "--continue-at", "-"]);
    curl.args(["--proto", "=http,https", "--proto-redir", "=https", "--max-filesize", MAX_SIZE]);
    curl.args(["--connect-timeout", "30", "--speed-limit", "1", "--speed-time", "60"]);
    if io::stderr().is_terminal() {
        curl.arg("--progress-bar");
    } else {
        curl.args(["--silent", "--show-error"]);
    }
    curl.arg("--output").arg(target).arg("--url").arg(url);
    curl
}
