//! Time, as the caller passes it in.

use std::ops::Add;

/// Milliseconds since an origin of the caller's choice, or a span of them. Nothing in this crate reads a
/// clock: a process passes its monotonic clock, a simulation its virtual one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The span from `earlier` to this instant; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Millis) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Millis {
    type Output = Millis;

    /// Saturates: an instant beyond the end of time is never reached.
    fn add(self, span: Millis) -> Millis {
        Millis(self.0.saturating_add(span.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_saturate_at_both_ends() {
        assert_eq!(Millis(5) + Millis(7), Millis(12));
        assert_eq!(Millis(u64::MAX) + Millis(1), Millis(u64::MAX));
        assert_eq!(Millis(7).since(Millis(5)), Millis(2));
        assert_eq!(Millis(5).since(Millis(7)), Millis(0));
    }
}
