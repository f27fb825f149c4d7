//! Notifications to the supervisor of a service: systemd, or whatever else sets `NOTIFY_SOCKET`.
//!
//! Without that variable nothing is sent, and nothing else changes.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

/// Beats in the time that the watchdog waits for one, so that a late one does no harm.
const BEATS_PER_TIMEOUT: u32 = 3;

/// Tells what the program is at, in one line.
pub fn tell_supervisor(text: &str) {
    tell(&NotifyState::Status(text));
}

/// The program is leaving.
pub(crate) fn tell_stopping() {
    tell(&NotifyState::Stopping);
}

/// The way to the supervisor, for the loop of a program.
#[derive(Debug)]
pub(crate) struct Supervisor {
    ready: bool,
    heartbeat: Option<Interval>,
}

impl Supervisor {
    /// As the environment says. Must be called inside a tokio runtime.
    pub(crate) fn from_environment() -> Self {
        let heartbeat = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero()).map(|timeout| {
            let mut heartbeat = interval((timeout / BEATS_PER_TIMEOUT).max(Duration::from_millis(1)));
            heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            heartbeat
        });
        Supervisor { ready: false, heartbeat }
    }

    /// The program does what it is there for; said once.
    pub(crate) fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            tell(&NotifyState::Ready);
        }
    }

    /// Tells the watchdog that the loop which polls this is alive, whenever that is due. Never resolves; loses
    /// nothing when it is dropped.
    pub(crate) async fn beat(&mut self) -> Infallible {
        let Some(heartbeat) = &mut self.heartbeat else { return std::future::pending().await };
        loop {
            heartbeat.tick().await;
            tell(&NotifyState::Watchdog);
        }
    }

    /// Awaits `work`, alive meanwhile: a loop that waits for room in a queue hangs only if it does not wait.
    pub(crate) async fn alive_during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            biased;
            result = &mut work => result,
            never = self.beat() => match never {},
        }
    }
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        warn!("NOTIFY_SOCKET: {error}: the supervisor does not hear what this program is at");
    }
}
