//! How long to wait before connecting again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubling pauses with jitter, so that a fleet does not come back as one herd after a broker's restart.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause: between half and all of a bound that doubles with every failure.
    pub(crate) fn pause(&mut self, random: u64) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures += 1;
        bound / 2 + (bound / 2).mul_f64(random as f64 / u64::MAX as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_start_over() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(u64::MAX), FIRST);
        assert_eq!(backoff.pause(0), FIRST);
        for _ in 0..40 {
            assert!(backoff.pause(u64::MAX) <= LONGEST);
        }
        assert_eq!(backoff.pause(u64::MAX), LONGEST);
        backoff.reset();
        assert_eq!(backoff.pause(u64::MAX), FIRST);
    }
}
