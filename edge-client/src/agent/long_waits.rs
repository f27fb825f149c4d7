//! Long waits: a line in the log now and then, for whoever wonders why nothing happens.

use wire::{Millis, TransferId};

use super::Agent;
use super::accomplices::Collusion;
use super::round::RoundStage;

/// After so long a wait is remarked on, and again whenever so much more has passed.
const LONG_WAIT: Millis = Millis(20_000);

/// What a device waits for.
enum Awaited {
    Model,
    Receipt(TransferId),
    Crafted,
}

impl Agent {
    /// When the next line in the log is due, if nothing comes until then.
    pub(super) fn remark_at(&self) -> Option<Millis> {
        let (since, _) = self.awaited()?;
        Some(self.remarked.map_or(since, |remarked| remarked.max(since)) + LONG_WAIT)
    }

    pub(super) fn remark_on_long_wait(&mut self, now: Millis) {
        if self.remark_at().is_some_and(|due| due <= now)
            && let Some((_, awaited)) = self.awaited()
        {
            self.remarked = Some(now);
            self.trouble(&self.words(&awaited));
        }
    }

    /// What this device waits for, and since when.
    fn awaited(&self) -> Option<(Millis, Awaited)> {
        match self.round.as_ref().map(|round| &round.stage) {
            Some(RoundStage::Fetching { heard, .. }) => Some((*heard, Awaited::Model)),
            Some(RoundStage::Colluding { since, .. }) => Some((*since, Awaited::Crafted)),
            _ => self.outbox.awaited().map(|(since, id)| (since, Awaited::Receipt(id))),
        }
    }

    /// The same words for as long as it lasts: a status that changes is said again.
    fn words(&self, awaited: &Awaited) -> String {
        const BROKER: &str = "the broker may drop what exceeds its limit on messages (Mosquitto: message_size_limit, \
                              max_packet_size) or on queues (max_queued_messages, max_queued_bytes)";
        let seconds = LONG_WAIT.0 / 1000;
        let round = self.round.as_ref().map_or(0, |round| round.call.round);
        match awaited {
            Awaited::Model => {
                let size = self.round.as_ref().map_or(0, |round| round.call.model.size);
                format!(
                    "round {round}: for {seconds} s nothing has come of the model, {size} bytes; {BROKER}"
                )
            }
            Awaited::Receipt(id) => format!("{id}: not acknowledged for {seconds} s; {BROKER}"),
            Awaited::Crafted => {
                let leader = self.collusion.as_ref().map_or(self.me.device, Collusion::leader);
                format!(
                    "round {round}: for {seconds} s nothing has been crafted; {leader} leads the colluders"
                )
            }
        }
    }
}
