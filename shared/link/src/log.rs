//! The log.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Logs up to `level` to standard error, in colour on a terminal. What cannot be written is dropped. To be called once, at
/// the start of a process.
///
/// # Panics
/// If the process logs elsewhere already.
pub fn log_to_stderr(level: Level) {
    let levels = Targets::new().with_default(level);
    // As https://no-color.org has it.
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = !plain && std::io::stderr().is_terminal();
    // The library would report what it cannot write to standard error, and panic because it cannot.
    let layer = fmt::layer().with_target(false).with_ansi(ansi).log_internal_errors(false);
    tracing_subscriber::registry().with(layer.with_writer(std::io::stderr)).with(levels).init();
}
