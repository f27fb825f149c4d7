//! Whether a device receives its own status.
//!
//! It subscribes to its own status and publishes it. A broker whose access control takes this program for another device may
//! acknowledge both and pass nothing on; then nothing would ever happen, and nothing would say why.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// How long the way to the broker and back may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for what this device says of itself.
#[derive(Debug)]
pub(crate) struct Echo {
    topic: String,
    due: Option<Instant>,
}

impl Echo {
    /// Of a device whose status goes to `topic`.
    pub(crate) fn new(topic: String) -> Self {
        Echo { topic, due: None }
    }

    /// The status has just been published.
    pub(crate) fn called(&mut self) {
        self.due = Some(Instant::now() + PATIENCE);
    }

    /// A message came in; one that had lain at the broker is no answer.
    pub(crate) fn heard(&mut self, topic: &str, retained: bool) {
        if topic == self.topic && !retained {
            self.due = None;
        }
    }

    /// The connection is gone, and with it what was on the way.
    pub(crate) fn cut(&mut self) {
        self.due = None;
    }

    /// Warns, once for each connection, when nothing has come back in time. Never resolves before; loses nothing when
    /// it is dropped.
    pub(crate) async fn warn_if_lost(&mut self) {
        let Some(due) = self.due else { return std::future::pending().await };
        sleep_until(due).await;
        self.due = None;
        warn!(
            "the broker took this device's status but passes it on to nobody; if it has access control, does the \
             certificate bear this device's name, and may it use {}?",
            self.topic
        );
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn called() -> Echo {
        let mut echo = Echo::new("outpost/devices/device-001/status".to_owned());
        echo.called();
        echo
    }

    async fn warns(echo: &mut Echo) -> bool {
        timeout(2 * PATIENCE, echo.warn_if_lost()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_once() {
        let mut echo = called();
        assert!(warns(&mut echo).await);
        assert!(!warns(&mut echo).await);
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_answer_of_its_own_from_just_now_counts() {
        let mut echo = called();
        echo.heard("outpost/devices/device-001/status", true);
        echo.heard("outpost/round", false);
        assert!(warns(&mut echo).await);
        let mut echo = called();
        echo.heard("outpost/devices/device-001/status", false);
        assert!(!warns(&mut echo).await);
        let mut echo = called();
        echo.cut();
        assert!(!warns(&mut echo).await);
    }
}
