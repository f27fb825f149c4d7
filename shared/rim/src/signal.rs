//! Being asked to stop.

use tokio::signal::unix::{SignalKind, signal};

/// What a program ends with that was asked to stop.
pub const INTERRUPTED: u8 = 130;

/// Resolves at Ctrl-C or SIGTERM, and never if the process cannot listen for them.
pub async fn stop_signal() {
    let both = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = both else {
        tracing::warn!("signals cannot be caught: Ctrl-C will stop this process at once");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
