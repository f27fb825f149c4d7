//! The log, and what is printed beside it.
//!
//! A program whose output goes to a full disk must go on: what cannot be written is dropped.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Logs up to `level` to standard error, in colour on a terminal. To be called once, at the start of a process.
///
/// # Panics
/// If the process logs elsewhere already.
pub fn log_to_stderr(level: Level) {
    // The embedded broker reports every connection that is closed as an error: for those who debug it.
    let broker = if level >= Level::DEBUG { LevelFilter::DEBUG } else { LevelFilter::OFF };
    let levels = Targets::new().with_default(level).with_target("rumqttd", broker);
    // As https://no-color.org has it.
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = !plain && std::io::stderr().is_terminal();
    let layer = fmt::layer().with_target(false).with_ansi(ansi).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer).with(levels).init();
}

/// Prints a line to standard output, if there is room for it.
pub fn print(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line to standard error, if there is room for it.
pub fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
