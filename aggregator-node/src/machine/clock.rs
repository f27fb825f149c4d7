//! The run's own time, which stands still while the aggregator is away from the broker.
//!
//! No device can answer an aggregator that is away. So gathering begins with the first connection, and every deadline moves
//! by the time for which a connection was lost.

use wire::Millis;

/// Turns the time of whoever drives the machine into the run's own, and back.
#[derive(Debug)]
pub(super) struct Clock {
    /// For how long altogether it has stood still, without the present time.
    stood: Millis,
    /// Since when it stands still.
    stopped: Option<Millis>,
}

impl Clock {
    /// A clock that shows `now` and stands still until the first connection.
    pub(super) fn stopped(now: Millis) -> Self {
        Clock { stood: Millis(0), stopped: Some(now) }
    }

    /// What it shows at `now`.
    pub(super) fn shows(&self, now: Millis) -> Millis {
        self.stopped.unwrap_or(now).since(self.stood)
    }

    /// When it will show `time`; never, while it stands still.
    pub(super) fn when(&self, time: Millis) -> Option<Millis> {
        self.stopped.is_none().then_some(time + self.stood)
    }

    pub(super) fn stop(&mut self, now: Millis) {
        self.stopped.get_or_insert(now);
    }

    pub(super) fn go_on(&mut self, now: Millis) {
        if let Some(since) = self.stopped.take() {
            self.stood = self.stood + now.since(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_away_does_not_count() {
        let mut clock = Clock::stopped(Millis(0));
        assert_eq!((clock.shows(Millis(8)), clock.when(Millis(1))), (Millis(0), None));
        clock.go_on(Millis(8));
        assert_eq!((clock.shows(Millis(10)), clock.when(Millis(5))), (Millis(2), Some(Millis(13))));
        for now in [10, 15] {
            clock.stop(Millis(now));
        }
        assert_eq!((clock.shows(Millis(20)), clock.when(Millis(5))), (Millis(2), None));
        for now in [20, 25] {
            clock.go_on(Millis(now));
        }
        assert_eq!((clock.shows(Millis(25)), clock.when(Millis(7))), (Millis(7), Some(Millis(25))));
    }
}
