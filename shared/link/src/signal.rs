//! Signals that ask the program to stop.

use std::{fs, io};

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a program ends with that was asked to stop.
pub const INTERRUPTED: u8 = 130;

/// Signals that ask a program to stop: Ctrl-C, SIGTERM, and SIGHUP, which is sent when a terminal is closed.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it is to be ignored, as under `nohup`.
    hangup: Option<Signal>,
}

impl StopSignals {
    /// Catches them from now on. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the process cannot.
    pub fn listen() -> io::Result<Self> {
        let hangup = if is_ignored(Number::HUP) { None } else { Some(signal(SignalKind::hangup())?) };
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(StopSignals { interrupt, terminate, hangup })
    }

    /// Resolves at the next of them.
    pub async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Resolves when this process is asked to stop, and never if it cannot listen for that.
pub async fn stop_signal() {
    match StopSignals::listen() {
        Ok(mut signals) => signals.next().await,
        Err(error) => {
            tracing::warn!(
                "signals cannot be caught, so that Ctrl-C will stop this process at once: {error}"
            );
            std::future::pending::<()>().await;
        }
    }
}

/// Whether whoever has started this process wants it, and what it starts, to ignore a signal, as `nohup` does.
pub fn is_ignored(signal: Number) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}
